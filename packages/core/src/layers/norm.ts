import { add } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { layerNorm } from '../ops/layer-norm.ts'
import { addRmsNorm, rmsNorm } from '../ops/rms-norm.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface Norm {
  /** x `[n, features]` → the same shape. */
  forward(x: Tensor2D): Tensor2D
  /** `sum = x + residual` and its norm, all `[n, features]`. */
  addForward(x: Tensor2D, residual: Tensor2D): { normed: Tensor2D; sum: Tensor2D }
}

export interface NormOptions {
  readonly prefix: string
  readonly features: number
  readonly epsilon: number
}

export interface RmsNormOptions extends NormOptions {
  /** Gemma stores `w` and multiplies by `1 + w`. */
  readonly hasUnitOffset: boolean
}

export function createRmsNorm(
  loader: WeightLoader,
  { prefix, features, epsilon, hasUnitOffset }: RmsNormOptions,
): Norm {
  const values = loader.hostVector(`${prefix}.weight`, features)
  const weight = loader.tensor(hasUnitOffset ? values.map((value) => 1 + value) : values)
  return {
    forward: (x) => rmsNorm(x, weight, epsilon),
    addForward: (x, residual) => addRmsNorm(x, residual, weight, epsilon),
  }
}

export function createLayerNorm(loader: WeightLoader, { prefix, features, epsilon }: NormOptions): Norm {
  const weight = loader.vector(`${prefix}.weight`, features)
  const bias: Tensor1D | null = loader.has(`${prefix}.bias`) ? loader.vector(`${prefix}.bias`, features) : null
  return {
    forward: (x) => layerNorm(x, weight, bias, epsilon),
    addForward(x, residual) {
      const sum = add<Tensor2D>(x, residual)
      return { normed: layerNorm(sum, weight, bias, epsilon), sum }
    },
  }
}
