import { activationKernel } from '../../../ops/activation.ts'
import type { ActivationAttrs } from '../../../ops/activation.ts'
import { gatedActivationKernel } from '../../../ops/gated-activation.ts'
import type { GatedActivationAttrs } from '../../../ops/gated-activation.ts'
import { divideExactly } from '../../../util/math.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { wasmKernel } from '../wasm-kernel.ts'
import { activationCodes } from '../wasm-kernels.ts'

export const activationConfig = wasmKernel<ActivationAttrs>(activationKernel, ({ inputs, attrs, runtime }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = runtime.createOutput(n, features)
  runtime.kernels.activation(out.pointer, runtime.pointerOf(inputs.x), n * features, activationCodes[attrs.kind])
  return out.tensor
})

export const gatedActivationConfig = wasmKernel<GatedActivationAttrs>(
  gatedActivationKernel,
  ({ inputs, attrs, runtime }) => {
    const [n, columns] = matrixShape(inputs.gateUp)
    const features = divideExactly(columns, 2)
    const out = runtime.createOutput(n, features)
    const gateUp = runtime.pointerOf(inputs.gateUp)
    runtime.kernels.gatedActivation(out.pointer, gateUp, n, features, activationCodes[attrs.kind])
    return out.tensor
  },
)
