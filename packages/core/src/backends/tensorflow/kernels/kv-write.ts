import { kvWriteKernel } from '../../../ops/kv-write.ts'
import type { KvWriteAttrs } from '../../../ops/kv-write.ts'
import { asTfKv, tensorflowKernel } from '../tensorflow-kernel.ts'

export const kvWriteConfig = tensorflowKernel<KvWriteAttrs>(kvWriteKernel, ({ attrs, ops, steps, input }) => {
  const kv = asTfKv(attrs.kv)
  const { layer, slotMapping } = attrs
  const rows = steps.get(ops, slotMapping, {
    name: `rows ${kv.layout.numKvHeads}`,
    make: (own, keep) => keep(own.deviceInts(kv.rowsOf(slotMapping))),
  })
  kv.scatter(ops, layer, { rows, keys: input('keys'), values: input('values') })
  return []
})
