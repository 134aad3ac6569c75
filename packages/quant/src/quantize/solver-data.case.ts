import { createGroupedReader } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { WeightMatrix } from './weight-matrix.ts'

// The weights and inputs of fixtures/quantization/make-solvers.py, number by number.

function uniform(seed: number, index: number): number {
  let x = (Math.imul(index, 2654435761) + Math.imul(seed, 40503)) >>> 0
  x = Math.imul(x ^ (x >>> 15), 2246822519) >>> 0
  x = Math.imul(x ^ (x >>> 13), 3266489917) >>> 0
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1
}

function noise(seed: number, index: number): number {
  return uniform(seed, 3 * index) + uniform(seed, 3 * index + 1) + uniform(seed, 3 * index + 2)
}

export function solverWeight(rows: number, cols: number, seed: number): WeightMatrix {
  const valueAt = (at: number): number => noise(seed, at) * ((at % cols) % 17 === 0 ? 3 : 1)
  return { values: Float32Array.from({ length: rows * cols }, (_, at) => valueAt(at)), rows, cols }
}

export interface SolverInputOptions {
  readonly tokens: number
  readonly cols: number
  readonly seed: number
  /** Whether column 5 is always zero. */
  readonly dead: boolean
}

/** `[tokens, cols]` of columns that go together, some of them larger. */
export function solverInput({ tokens, cols, seed, dead }: SolverInputOptions): Float32Array {
  const valueAt = (at: number): number => {
    const [token, col] = [Math.floor(at / cols), at % cols]
    if (dead && col === 5) return 0
    return (noise(seed + 1, at) + 1.5 * noise(seed + 2, token * 8 + (col % 8))) * (col % 11 === 0 ? 4 : 1)
  }
  return Float32Array.from({ length: tokens * cols }, (_, at) => valueAt(at))
}

export function widen(weight: GroupedWeight): Float32Array {
  const { rows, cols, planes } = weight
  const read = createGroupedReader(weight, planes)
  const values = new Float32Array(rows * cols)
  for (let row = 0; row < rows; row++) read(row, values.subarray(row * cols, (row + 1) * cols))
  return values
}

/** The squared error of all outputs over their squares. */
export function outputError(
  { values, rows, cols }: WeightMatrix,
  quantized: Float32Array,
  input: Float32Array,
): number {
  let [error, total] = [0, 0]
  for (let start = 0; start < input.length; start += cols) {
    for (let row = 0; row < rows; row++) {
      let [output, difference] = [0, 0]
      for (let col = 0; col < cols; col++) {
        const x = input[start + col]!
        output += x * values[row * cols + col]!
        difference += x * (values[row * cols + col]! - quantized[row * cols + col]!)
      }
      error += difference ** 2
      total += output ** 2
    }
  }
  return error / total
}
