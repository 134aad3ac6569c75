import { matMul, slice, tidy, transpose, type Tensor, type Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, refuseTape, runOp } from './op.ts'

/** Tensor input: `x` `[n, features]`; returns no tensor. */
export const gramKernel = 'OctavoGram'

export interface GramAttrs {
  /** `[features, features]`, in place. */
  readonly sums: Float64Array
}

/** Rows that may be added up in float32 before their sum joins the float64 ones. */
const rowsPerSum = 128

/**
 * Adds xᵀx to the upper triangle of `sums` `[features, features]`, its diagonal included: batch by batch the second moments
 * of what a layer is given (GPTQ's Hessian is twice that). The lower triangle stays as it is.
 *
 * @throws NoGradientError under a gradient tape.
 */
export function gram(x: Tensor2D, sums: Float64Array): void {
  refuseTape('gram', 'Add up moments before the tape starts, or after it ended.')
  const [, features] = x.shape
  assert(sums.length === features ** 2, `gram: ${sums.length} sums for ${features} features`)
  if (hasKernel(gramKernel)) runOp<Tensor[]>(gramKernel, { x }, { sums } satisfies GramAttrs)
  else gramComposite(x, sums)
}

export function gramComposite(x: Tensor2D, sums: Float64Array): void {
  const [n, features] = x.shape
  for (let first = 0; first < n; first += rowsPerSum) {
    const size: [number, number] = [Math.min(rowsPerSum, n - first), features]
    const product = tidy(() => {
      const rows = slice(x, [first, 0], size)
      return matMul(transpose(rows), rows)
    })
    const values = product.dataSync<'float32'>()
    product.dispose()
    for (let i = 0; i < features; i++) {
      for (let at = i * (features + 1); at < (i + 1) * features; at++) sums[at]! += values[at]!
    }
  }
}
