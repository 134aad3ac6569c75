import { add, mean, mul, rsqrt, square, tidy } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: `x` `[n, features]`, `weight` `[features]`. */
export const rmsNormKernel = 'OctavoRmsNorm'
/** Tensor inputs: `x`, `residual` `[n, features]`, `weight` `[features]`; outputs `[normed, sum]`. */
export const addRmsNormKernel = 'OctavoAddRmsNorm'

export interface RmsNormAttrs {
  readonly epsilon: number
}

/**
 * Root mean square layer normalization (Zhang and Sennrich 2019, arXiv:1910.07467):
 * `x / sqrt(mean(x^2) + epsilon) * weight` over each row. x `[n, features]`, weight `[features]` → `[n, features]`.
 */
export function rmsNorm(x: Tensor2D, weight: Tensor1D, epsilon: number): Tensor2D {
  assert(x.shape[1] === weight.shape[0], `rmsNorm: x has ${x.shape[1]} features, the weight ${weight.shape[0]}`)
  const attrs: RmsNormAttrs = { epsilon }
  return hasKernel(rmsNormKernel)
    ? runOp<Tensor2D>(rmsNormKernel, { x, weight }, attrs)
    : rmsNormComposite(x, weight, epsilon)
}

export function rmsNormComposite(x: Tensor2D, weight: Tensor1D, epsilon: number): Tensor2D {
  return tidy(() => mul<Tensor2D>(mul(x, rsqrt(add(mean(square(x), 1, true), epsilon))), weight))
}

/** `sum = x + residual` and `normed = rmsNorm(sum)`, all `[n, features]`: the residual stream between two sublayers. */
export function addRmsNorm(
  x: Tensor2D,
  residual: Tensor2D,
  weight: Tensor1D,
  epsilon: number,
): { normed: Tensor2D; sum: Tensor2D } {
  assert(
    x.shape[0] === residual.shape[0] && x.shape[1] === residual.shape[1],
    `addRmsNorm: x [${x.shape.join(', ')}] and residual [${residual.shape.join(', ')}] differ`,
  )
  assert(x.shape[1] === weight.shape[0], `addRmsNorm: x has ${x.shape[1]} features, the weight ${weight.shape[0]}`)
  if (!hasKernel(addRmsNormKernel)) {
    const sum = add<Tensor2D>(x, residual)
    return { normed: rmsNormComposite(sum, weight, epsilon), sum }
  }
  const attrs: RmsNormAttrs = { epsilon }
  const [normed, sum] = runOp<Tensor2D[]>(addRmsNormKernel, { x, residual, weight }, attrs)
  assert(normed !== undefined && sum !== undefined, 'addRmsNorm: the kernel did not return two tensors')
  return { normed, sum }
}
