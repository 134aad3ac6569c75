import { layerNormKernel } from '../../../ops/layer-norm.ts'
import type { LayerNormAttrs } from '../../../ops/layer-norm.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, optionalValuesOf, valuesOf } from '../cpu-kernel.ts'

/** out `[n, features]` = each row of x centred, divided by its standard deviation, times weight, plus bias. */
export function layerNorm(
  out: Float32Array,
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array | null,
  n: number,
  features: number,
  epsilon: number,
): void {
  for (let start = 0; start < n * features; start += features) {
    let sum = 0
    for (let k = 0; k < features; k++) sum += x[start + k]!
    const mean = sum / features
    let squares = 0
    for (let k = 0; k < features; k++) squares += (x[start + k]! - mean) ** 2
    const scale = 1 / Math.sqrt(squares / features + epsilon)
    for (let k = 0; k < features; k++) {
      out[start + k] = (x[start + k]! - mean) * scale * weight[k]! + (bias === null ? 0 : bias[k]!)
    }
  }
}

export const layerNormKernelConfig = cpuKernel<LayerNormAttrs>(layerNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = new Float32Array(n * features)
  const bias = optionalValuesOf(backend, inputs.bias)
  layerNorm(out, valuesOf(backend, inputs.x), valuesOf(backend, inputs.weight), bias, n, features, attrs.epsilon)
  return backend.makeTensorInfo([n, features], 'float32', out)
})
