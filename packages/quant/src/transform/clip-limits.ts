import { matMul, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { WeightMatrix } from '../quantize/weight-matrix.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { valuesOf } from './awq-search.ts'
import { roundValues } from './round-values.ts'

/** Shares of the largest magnitude that are tried: down to 50 % in steps of 2 %, then around the best in steps of 0.5 %. */
const leastShare = 0.5
const shares = Array.from({ length: 26 }, (_, i) => 1 - i / 50)
const nearer = [-0.015, -0.01, -0.005, 0.005, 0.01, 0.015]
/** Of a search that another one follows: 5 %. */
const roughShares = Array.from({ length: 11 }, (_, i) => 1 - i / 20)

/** Of a group of a row, by its place among all. */
type OfPlace = (place: number) => number

/** Second moments of inputs, of the columns of each group: `[width, width]`. */
export class GroupMoments implements Disposable {
  readonly width: number
  readonly groups: readonly Tensor2D[]

  /** `sums`: of xᵀx in the upper triangle, `[cols, cols]`. */
  constructor(sums: Float64Array, { cols, width }: { readonly cols: number; readonly width: number }) {
    this.width = width
    let trace = 0
    for (let col = 0; col < cols; col++) trace += sums[col * (cols + 1)]!
    // Which error is least does not depend on the scale, and float32 holds them.
    const factor = trace === 0 ? 1 : cols / trace
    this.groups = Array.from({ length: cols / width }, (_, group) => {
      const values = new Float32Array(width * width)
      for (let i = 0; i < width; i++) {
        for (let j = i; j < width; j++) {
          const value = sums[(group * width + i) * cols + group * width + j]! * factor
          values[i * width + j] = value
          values[j * width + i] = value
        }
      }
      return tensor2d(values, [width, width])
    })
  }

  [Symbol.dispose](): void {
    for (const group of this.groups) group.dispose()
  }
}

/**
 * The magnitude of each row, or of each of its groups, at which its weights are best cut before they are rounded: of those
 * tried, the one with the least (w − q)ᵀ H (w − q), which is the squared error of the outputs over all tokens that H counts.
 * `[rows, groups]`
 */
export function searchLimits(matrix: WeightMatrix, scheme: WeightScheme, moments: GroupMoments): Float32Array {
  const search = new LimitSearch(matrix, { ...scheme, observer: 'minmax' }, moments)
  for (const share of shares) search.tryShares(() => share)
  const best = search.shares.slice()
  for (const step of nearer) search.tryShares((place) => Math.min(Math.max(best[place]! + step, leastShare), 1))
  return search.limits
}

/** In place. */
export function cutWeights(values: Float32Array, limits: Float32Array): Float32Array {
  return cutInto(values, { values, width: values.length / limits.length }, (place) => limits[place]!)
}

/** The same in steps of 5 %, a third of the work: for rows that are still to change. */
export function searchRoughLimits(matrix: WeightMatrix, scheme: WeightScheme, moments: GroupMoments): Float32Array {
  const search = new LimitSearch(matrix, { ...scheme, observer: 'minmax' }, moments)
  for (const share of roughShares) search.tryShares(() => share)
  return search.limits
}

class LimitSearch {
  readonly limits: Float32Array // [rows, groups]
  /** What `limits` are of the largest magnitudes. */
  readonly shares: Float32Array // [rows, groups]
  readonly #matrix: WeightMatrix
  readonly #scheme: WeightScheme
  readonly #moments: GroupMoments
  readonly #largest: Float32Array // [rows, groups]
  readonly #leastErrors: Float64Array // [rows, groups]
  readonly #trial: Float32Array // [rows, cols]

  constructor(matrix: WeightMatrix, scheme: WeightScheme, moments: GroupMoments) {
    this.#matrix = matrix
    this.#scheme = scheme
    this.#moments = moments
    const { width } = moments
    const { values } = matrix
    this.#largest = new Float32Array(values.length / width)
    for (let at = 0; at < values.length; at++) {
      const place = Math.floor(at / width)
      this.#largest[place] = Math.max(this.#largest[place]!, Math.abs(values[at]!))
    }
    this.limits = this.#largest.slice()
    this.shares = new Float32Array(this.limits.length).fill(1)
    this.#leastErrors = new Float64Array(this.limits.length).fill(Infinity)
    this.#trial = new Float32Array(values.length)
  }

  tryShares(shareOf: OfPlace): void {
    const { values, rows, cols } = this.#matrix
    const trial = this.#trial
    const limitOf: OfPlace = (place) => Math.fround(this.#largest[place]! * shareOf(place))
    cutInto(trial, { values, width: this.#moments.width }, limitOf)
    roundValues({ values: trial, rows, cols }, this.#scheme)
    for (let at = 0; at < trial.length; at++) trial[at]! -= values[at]!
    const count = this.#moments.groups.length
    for (let group = 0; group < count; group++) {
      const errors = this.#errorsOf(group)
      for (let row = 0; row < rows; row++) {
        const place = row * count + group
        if (errors[row]! >= this.#leastErrors[place]!) continue
        this.#leastErrors[place] = errors[row]!
        this.limits[place] = limitOf(place)
        this.shares[place] = shareOf(place)
      }
    }
  }

  /** Of each row: dᵀ H d of its differences in the group's columns. */
  #errorsOf(group: number): Float64Array {
    const { rows } = this.#matrix
    const { width } = this.#moments
    const differences = this.#columnsOf(group)
    const products = valuesOf(() => matMul(tensor2d(differences, [rows, width]), this.#moments.groups[group]!))
    const errors = new Float64Array(rows)
    for (let row = 0, at = 0; row < rows; row++) {
      let sum = 0
      for (const end = at + width; at < end; at++) sum += differences[at]! * products[at]!
      errors[row] = sum
    }
    return errors
  }

  #columnsOf(group: number): Float32Array {
    const { rows, cols } = this.#matrix
    const { width } = this.#moments
    if (width === cols) return this.#trial
    const part = new Float32Array(rows * width)
    for (let row = 0; row < rows; row++) {
      const start = row * cols + group * width
      part.set(this.#trial.subarray(start, start + width), row * width)
    }
    return part
  }
}

/** `target` may be the values themselves. */
function cutInto(
  target: Float32Array,
  { values, width }: { readonly values: Float32Array; readonly width: number },
  limitOf: OfPlace,
): Float32Array {
  for (let start = 0, place = 0; start < values.length; start += width, place++) {
    const limit = limitOf(place)
    for (let at = start; at < start + width; at++) target[at] = Math.min(Math.max(values[at]!, -limit), limit)
  }
  return target
}
