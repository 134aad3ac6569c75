import { kvWriteKernel } from '../../../ops/kv-write.ts'
import type { KvWriteAttrs } from '../../../ops/kv-write.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'

export const kvWriteKernelConfig = cpuKernel<KvWriteAttrs>(kvWriteKernel, ({ inputs, attrs, backend }) => {
  const { kv, layer, slotMapping } = attrs
  kv.writeRows(layer, slotMapping, valuesOf(backend, inputs.keys), valuesOf(backend, inputs.values))
  return []
})
