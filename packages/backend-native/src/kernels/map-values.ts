import { mapValuesKernel } from '@octavo/core/backend'
import type { MapValuesAttrs } from '@octavo/core/backend'
import { nativeKernel, valuesOf } from '../native-kernel.ts'

export const mapValuesConfig = nativeKernel<MapValuesAttrs>(mapValuesKernel, ({ inputs, attrs, backend }) => {
  const { shape, map } = attrs
  const output = backend.allocate(shape[0] * shape[1])
  map(valuesOf(backend, inputs.x), output)
  return backend.makeOutput2d(shape, output)
})
