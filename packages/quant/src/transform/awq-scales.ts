import type { WeightScheme } from '../weight-scheme.ts'
import type { WeightMatrix } from '../quantize/weight-matrix.ts'

/** One way to make scales of channels. */
export interface AwqTrial {
  /** Of the inputs' magnitude, 0 to 1. */
  readonly ratio: number
  /** Whether scales look at the weights too. */
  readonly isDuo: boolean
}

/** Whether the scales of trials look at the weights: in all but the identity, in none, or in half of them. */
export type DuoScaling = boolean | 'both'

/** The trials of a search, as llm-compressor has them. All of them hold the identity. */
export function awqTrials(duoScaling: DuoScaling, gridSize: number): AwqTrial[] {
  const ratios = (count: number): number[] => Array.from({ length: count }, (_, i) => i / (count - 1))
  switch (duoScaling) {
    case false:
      return ratios(gridSize).map((ratio) => ({ ratio, isDuo: false }))
    case true:
      return [{ ratio: 0, isDuo: false }, ...ratios(gridSize - 1).map((ratio) => ({ ratio, isDuo: true }))]
    case 'both':
      return ratios(Math.floor(gridSize / 2)).flatMap((ratio) => [false, true].map((isDuo) => ({ ratio, isDuo })))
  }
}

/** `x^r`, or `x^r / (w^(1 - r) + 1e-4)`, around 1: divided by the root of the largest times the least. */
export function awqScales(
  { ratio, isDuo }: AwqTrial,
  inputMeans: Float64Array,
  weightMeans: Float64Array,
): Float32Array {
  const scales = inputMeans.map((mean, i) =>
    Math.max(mean ** ratio / (isDuo ? weightMeans[i]! ** (1 - ratio) + 1e-4 : 1), 1e-4),
  )
  let [least, largest] = [Infinity, 0]
  for (const scale of scales) {
    least = Math.min(least, scale)
    largest = Math.max(largest, scale)
  }
  const middle = Math.sqrt(largest * least)
  return Float32Array.from(scales, (scale) => (Number.isFinite(scale / middle) ? scale / middle : 1))
}

/** Sums over rows of a weight's magnitudes, each divided by the largest that shares its scale; added to `sums` `[cols]`. */
export function addRelativeMagnitudes(
  { values, rows, cols }: WeightMatrix,
  scheme: WeightScheme,
  sums: Float64Array,
): void {
  const { height, width } = unitShape(scheme, rows, cols)
  for (let top = 0; top < rows; top += height) {
    const bottom = Math.min(top + height, rows)
    for (let left = 0; left < cols; left += width) {
      const right = Math.min(left + width, cols)
      let largest = 0
      for (let row = top; row < bottom; row++)
        for (let at = row * cols + left; at < row * cols + right; at++)
          largest = Math.max(largest, Math.abs(values[at]!))
      const factor = 1 / (largest + 1e-6)
      for (let row = top; row < bottom; row++)
        for (let col = left; col < right; col++) sums[col]! += Math.abs(values[row * cols + col]!) * factor
    }
  }
}

function unitShape(
  { strategy, groupSize, blockShape }: WeightScheme,
  rows: number,
  cols: number,
): { height: number; width: number } {
  switch (strategy) {
    case 'tensor':
      return { height: rows, width: cols }
    case 'channel':
      return { height: 1, width: cols }
    case 'group':
      return { height: 1, width: groupSize! }
    case 'block':
      return { height: blockShape![0], width: blockShape![1] }
  }
}
