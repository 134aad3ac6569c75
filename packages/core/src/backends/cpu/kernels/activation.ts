import { activationKernel } from '../../../ops/activation.ts'
import type { ActivationAttrs, ActivationKind } from '../../../ops/activation.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'
import { scalarActivation } from './scalar-activation.ts'

/** out and x have the same length. */
export function activation(out: Float32Array, x: Float32Array, kind: ActivationKind): void {
  const act = scalarActivation[kind]
  for (let i = 0; i < out.length; i++) out[i] = act(x[i]!)
}

export const activationKernelConfig = cpuKernel<ActivationAttrs>(activationKernel, ({ inputs, attrs, backend }) => {
  const shape = matrixShape(inputs.x)
  const out = new Float32Array(shape[0] * shape[1])
  activation(out, valuesOf(backend, inputs.x), attrs.kind)
  return backend.makeTensorInfo(shape, 'float32', out)
})
