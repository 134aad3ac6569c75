import { activationKernel, gatedActivationKernel } from '@octavo/core/backend'
import type { ActivationAttrs, ActivationKind, GatedActivationAttrs, GatedActivationKind } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

/** In the order of `ActivationKind` and `GatedKind` in native/kernels/ops.h. */
const activationCodes: Readonly<Record<ActivationKind, number>> = { silu: 0, gelu: 1, gelu_tanh: 2, relu: 3 }
export const gatedCodes: Readonly<Record<GatedActivationKind, number>> = {
  silu: 0,
  gelu: 1,
  gelu_tanh: 2,
  swiglu_oss: 3,
}

export const activationConfig = nativeKernel<ActivationAttrs>(activationKernel, ({ inputs, attrs, backend }) => {
  const x = valuesOf(backend, inputs.x)
  const out = backend.allocate(x.length)
  backend.pool.activation(out, x, activationCodes[attrs.kind])
  return backend.makeOutput2d(matrixShape(inputs.x), out)
})

export const gatedActivationConfig = nativeKernel<GatedActivationAttrs>(
  gatedActivationKernel,
  ({ inputs, attrs, backend }) => {
    const [n, columns] = matrixShape(inputs.gateUp)
    const features = columns / 2
    const out = backend.allocate(n * features)
    backend.pool.gatedActivation(out, valuesOf(backend, inputs.gateUp), gatedCodes[attrs.kind], n, features)
    return backend.makeOutput2d([n, features], out)
  },
)
