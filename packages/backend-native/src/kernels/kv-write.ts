import { kvWriteKernel } from '@octavo/core/backend'
import type { KvWriteAttrs } from '@octavo/core/backend'
import { nativeKernel, valuesOf } from '../native-kernel.ts'

export const kvWriteConfig = nativeKernel<KvWriteAttrs>(kvWriteKernel, ({ inputs, attrs, backend }) => {
  const { kv, layer, slotMapping } = attrs
  kv.writeRows(layer, slotMapping, valuesOf(backend, inputs.keys), valuesOf(backend, inputs.values))
  return []
})
