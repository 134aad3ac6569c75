import { linearKernel } from '@octavo/core/backend'
import type { LinearAttrs } from '@octavo/core/backend'
import { asNativeWeight, matrixShape, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

export const linearConfig = nativeKernel<LinearAttrs>(linearKernel, ({ inputs, attrs, backend }) => {
  const { matrix, rows } = asNativeWeight(attrs.weight)
  const [n] = matrixShape(inputs.x)
  const out = backend.allocate(n * rows)
  backend.pool.linear(matrix, out, valuesOf(backend, inputs.x), n, optionalValuesOf(backend, inputs.bias))
  return backend.makeOutput2d([n, rows], out)
})
