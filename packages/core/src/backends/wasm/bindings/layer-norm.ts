import { layerNormKernel } from '../../../ops/layer-norm.ts'
import type { LayerNormAttrs } from '../../../ops/layer-norm.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { wasmKernel } from '../wasm-kernel.ts'

export const layerNormConfig = wasmKernel<LayerNormAttrs>(layerNormKernel, ({ inputs, attrs, runtime }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = runtime.createOutput(n, features)
  runtime.kernels.layerNorm(
    out.pointer,
    runtime.pointerOf(inputs.x),
    runtime.pointerOf(inputs.weight),
    runtime.optionalPointerOf(inputs.bias),
    n,
    features,
    attrs.epsilon,
  )
  return out.tensor
})
