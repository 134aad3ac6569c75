import { add, mean, mul, rsqrt, square, sub, tidy } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: `x` `[n, features]`, `weight` `[features]` and, where the layer has one, `bias` `[features]`. */
export const layerNormKernel = 'OctavoLayerNorm'

export interface LayerNormAttrs {
  readonly epsilon: number
}

/**
 * Layer normalization (Ba, Kiros and Hinton 2016, arXiv:1607.06450):
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` over each row, with the biased variance. x `[n, features]` → `[n, features]`.
 */
export function layerNorm(x: Tensor2D, weight: Tensor1D, bias: Tensor1D | null, epsilon: number): Tensor2D {
  assert(x.shape[1] === weight.shape[0], `layerNorm: x has ${x.shape[1]} features, the weight ${weight.shape[0]}`)
  assert(bias === null || bias.shape[0] === weight.shape[0], 'layerNorm: weight and bias differ in length')
  if (!hasKernel(layerNormKernel)) return layerNormComposite(x, weight, bias, epsilon)
  const attrs: LayerNormAttrs = { epsilon }
  return runOp<Tensor2D>(layerNormKernel, bias === null ? { x, weight } : { x, weight, bias }, attrs)
}

export function layerNormComposite(x: Tensor2D, weight: Tensor1D, bias: Tensor1D | null, epsilon: number): Tensor2D {
  return tidy(() => {
    const centred = sub<Tensor2D>(x, mean(x, 1, true))
    const scaled = mul<Tensor2D>(mul(centred, rsqrt(add(mean(square(centred), 1, true), epsilon))), weight)
    return bias === null ? scaled : add<Tensor2D>(scaled, bias)
  })
}
