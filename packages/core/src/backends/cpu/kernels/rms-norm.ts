import { addRmsNormKernel, rmsNormKernel } from '../../../ops/rms-norm.ts'
import type { RmsNormAttrs } from '../../../ops/rms-norm.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'

/** out `[n, features]` = each row of x divided by its root mean square, times weight `[features]`. */
export function rmsNorm(
  out: Float32Array,
  x: Float32Array,
  weight: Float32Array,
  n: number,
  features: number,
  epsilon: number,
): void {
  for (let start = 0; start < n * features; start += features) {
    let sum = 0
    for (let k = 0; k < features; k++) sum += x[start + k]! * x[start + k]!
    const scale = 1 / Math.sqrt(sum / features + epsilon)
    for (let k = 0; k < features; k++) out[start + k] = x[start + k]! * scale * weight[k]!
  }
}

export const rmsNormKernelConfig = cpuKernel<RmsNormAttrs>(rmsNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = new Float32Array(n * features)
  rmsNorm(out, valuesOf(backend, inputs.x), valuesOf(backend, inputs.weight), n, features, attrs.epsilon)
  return backend.makeTensorInfo([n, features], 'float32', out)
})

/** The sum is rounded to float32 before it is normalized, so that the pair equals an addition and an `rmsNorm`. */
export const addRmsNormKernelConfig = cpuKernel<RmsNormAttrs>(addRmsNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const x = valuesOf(backend, inputs.x)
  const residual = valuesOf(backend, inputs.residual)
  const sum = new Float32Array(n * features)
  for (let i = 0; i < sum.length; i++) sum[i] = x[i]! + residual[i]!
  const normed = new Float32Array(n * features)
  rmsNorm(normed, sum, valuesOf(backend, inputs.weight), n, features, attrs.epsilon)
  return [
    backend.makeTensorInfo([n, features], 'float32', normed),
    backend.makeTensorInfo([n, features], 'float32', sum),
  ]
})
