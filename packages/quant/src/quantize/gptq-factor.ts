import { inverseCholesky } from '@octavo/core/ops'
import { columnOrder } from './column-order.ts'
import type { ColumnOrder } from './column-order.ts'

export interface GptqFactorOptions {
  readonly order: ColumnOrder
  /** Columns of a group, for 'group-aware'. */
  readonly groupSize: number
  /** Added to the diagonal, as a share of its mean. */
  readonly dampening: number
}

/** How columns are walked and how an error in one is spread over those behind it: the same for all weights of one input. */
export interface GptqFactor {
  readonly cols: number
  /** The column that is visited i-th; `null`: as they stand. */
  readonly order: Int32Array | null
  /** Upper triangle, columns in the order of visits: UᵀU is the inverse of the damped moments. */
  readonly upper: Float32Array // [cols, cols]
  /** Columns whose input was always zero: their weights become zero. */
  readonly dead: readonly number[]
  /** The column at which the moments were not positive definite, so that `upper` is the unit matrix; else `null`. */
  readonly failedAt: number | null
}

/** Of second moments in the upper triangle of `gram` `[cols, cols]`, which stays as it is. */
export function createGptqFactor(gram: Float64Array, cols: number, options: GptqFactorOptions): GptqFactor {
  const diagonal = Float64Array.from({ length: cols }, (_, col) => gram[col * (cols + 1)]!)
  const order = columnOrder(options.order, diagonal, options.groupSize)
  const matrix = permuted(gram, cols, order)
  const dead: number[] = []
  let trace = 0
  for (let col = 0; col < cols; col++) {
    const at = col * (cols + 1)
    if (matrix[at] === 0) {
      matrix[at] = 1
      dead.push(order === null ? col : order[col]!)
    }
    trace += matrix[at]!
  }
  const damp = (options.dampening * trace) / cols
  for (let col = 0; col < cols; col++) matrix[col * (cols + 1)]! += damp
  const failed = inverseCholesky(matrix, cols)
  const failedAt = failed === null ? null : order === null ? failed : order[failed]!
  const upper = failed === null ? Float32Array.from(matrix) : unitMatrix(cols)
  return { cols, order, upper, dead, failedAt }
}

/** The upper triangle with rows and columns in the order of visits. */
function permuted(gram: Float64Array, cols: number, order: Int32Array | null): Float64Array {
  if (order === null) return gram.slice()
  const matrix = new Float64Array(cols * cols)
  for (let i = 0; i < cols; i++) {
    const row = order[i]!
    for (let j = i; j < cols; j++) {
      const col = order[j]!
      matrix[i * cols + j] = row < col ? gram[row * cols + col]! : gram[col * cols + row]!
    }
  }
  return matrix
}

function unitMatrix(size: number): Float32Array {
  const matrix = new Float32Array(size * size)
  for (let i = 0; i < size; i++) matrix[i * (size + 1)] = 1
  return matrix
}
