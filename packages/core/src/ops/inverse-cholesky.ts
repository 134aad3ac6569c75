import type { Tensor1D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, refuseTape, runOp } from './op.ts'

/** No tensor inputs; output int32 `[1]`: the column at which it failed, -1 if it did not. */
export const inverseCholeskyKernel = 'OctavoInverseCholesky'

export interface InverseCholeskyAttrs {
  /** `[n, n]`, in place. */
  readonly matrix: Float64Array
  readonly n: number
}

/**
 * The upper Cholesky factor of a symmetric matrix's inverse: U with UᵀU = H⁻¹, as GPTQ, SparseGPT and others walk columns
 * by it. H stands in the upper triangle of `matrix` `[n, n]` and is overwritten by U, with zeros below. In float64:
 * of 5632 columns damped by 1 % of their mean, float32 gets the factor's diagonal wrong by up to 3e-4 (moments added up as
 * `gram` does: 1e-5).
 *
 * Returns the column at which H turned out not to be positive definite (what `matrix` holds is lost then), else null.
 * One factorization and one inverse of a triangle: with rows and columns in reverse, H = RRᵀ with R upper is A = LLᵀ with
 * L lower, and U = R⁻¹.
 *
 * @throws NoGradientError under a gradient tape.
 */
export function inverseCholesky(matrix: Float64Array, n: number): number | null {
  refuseTape('inverseCholesky', 'Factor matrices before the tape starts, or after it ended.')
  assert(matrix.length === n * n, `inverseCholesky: ${matrix.length} elements for ${n} columns`)
  if (!hasKernel(inverseCholeskyKernel)) return inverseCholeskyComposite(matrix, n)
  const attrs: InverseCholeskyAttrs = { matrix, n }
  const output = runOp<Tensor1D>(inverseCholeskyKernel, {}, attrs)
  const failed = output.dataSync<'int32'>()[0]!
  output.dispose()
  return failed < 0 ? null : failed
}

export function inverseCholeskyComposite(matrix: Float64Array, n: number): number | null {
  matrix.reverse()
  const failed = factorLower(matrix, n)
  if (failed !== null) return n - 1 - failed
  invertIntoUpper(matrix, n)
  // Rows of (L⁻¹)ᵀ become columns, and the order is turned back.
  for (let i = 0; i < n; i++) {
    matrix.fill(0, i * n, i * n + i)
    for (let j = i; i + j < n - 1; j++) {
      const [at, other] = [i * n + j, (n - 1 - j) * n + n - 1 - i]
      const swap = matrix[at]!
      matrix[at] = matrix[other]!
      matrix[other] = swap
    }
  }
  return null
}

/** L with LLᵀ = a of the lower triangle, in place; the row at which it fails. */
function factorLower(a: Float64Array, n: number): number | null {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      a[i * n + j] = (a[i * n + j]! - dotRows(a, i * n, j * n, j)) / a[j * n + j]!
    }
    const rest = a[i * n + i]! - dotRows(a, i * n, i * n, i)
    if (!(rest > 0) || !Number.isFinite(rest)) return i
    a[i * n + i] = Math.sqrt(rest)
  }
  return null
}

/** (L⁻¹)ᵀ over the upper triangle, so that all sums go along rows; L keeps all but its diagonal, which `pivots` has. */
function invertIntoUpper(a: Float64Array, n: number): void {
  const pivots = Float64Array.from({ length: n }, (_, i) => a[i * n + i]!)
  for (let j = 0; j < n; j++) {
    a[j * n + j] = 1 / pivots[j]!
    for (let i = j + 1; i < n; i++) a[j * n + i] = -dotRows(a, i * n + j, j * n + j, i - j) / pivots[i]!
  }
}

function dotRows(a: Float64Array, left: number, right: number, count: number): number {
  let even = 0
  let odd = 0
  let k = 0
  for (; k + 1 < count; k += 2) {
    even += a[left + k]! * a[right + k]!
    odd += a[left + k + 1]! * a[right + k + 1]!
  }
  return k < count ? even + odd + a[left + k]! * a[right + k]! : even + odd
}
