import { activationKernel, gatedActivationKernel } from '@octavo/core/backend'
import type { ActivationAttrs, GatedActivationAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

export const activationConfig = nativeKernel<ActivationAttrs>(activationKernel, ({ inputs, attrs, backend }) => {
  const x = valuesOf(backend, inputs.x)
  const out = backend.allocate(x.length)
  backend.pool.activation(out, x, attrs.kind)
  return backend.makeOutput2d(matrixShape(inputs.x), out)
})

export const gatedActivationConfig = nativeKernel<GatedActivationAttrs>(
  gatedActivationKernel,
  ({ inputs, attrs, backend }) => {
    const [n, columns] = matrixShape(inputs.gateUp)
    const features = columns / 2
    const out = backend.allocate(n * features)
    backend.pool.gatedActivation(out, valuesOf(backend, inputs.gateUp), attrs.kind, n, features)
    return backend.makeOutput2d([n, features], out)
  },
)
