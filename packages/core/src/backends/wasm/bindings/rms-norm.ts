import { addRmsNormKernel, rmsNormKernel } from '../../../ops/rms-norm.ts'
import type { RmsNormAttrs } from '../../../ops/rms-norm.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { wasmKernel } from '../wasm-kernel.ts'

export const rmsNormConfig = wasmKernel<RmsNormAttrs>(rmsNormKernel, ({ inputs, attrs, runtime }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = runtime.createOutput(n, features)
  runtime.kernels.rmsNorm(
    out.pointer,
    runtime.pointerOf(inputs.x),
    runtime.pointerOf(inputs.weight),
    n,
    features,
    attrs.epsilon,
  )
  return out.tensor
})

export const addRmsNormConfig = wasmKernel<RmsNormAttrs>(addRmsNormKernel, ({ inputs, attrs, runtime }) => {
  const [n, features] = matrixShape(inputs.x)
  const normed = runtime.createOutput(n, features)
  const sum = runtime.createOutput(n, features)
  runtime.kernels.addRows(sum.pointer, runtime.pointerOf(inputs.x), runtime.pointerOf(inputs.residual), n * features)
  runtime.kernels.rmsNorm(normed.pointer, sum.pointer, runtime.pointerOf(inputs.weight), n, features, attrs.epsilon)
  return [normed.tensor, sum.tensor]
})
