import { kvWriteKernel } from '../../../ops/kv-write.ts'
import type { KvWriteAttrs } from '../../../ops/kv-write.ts'
import { asTfKv, tensorflowKernel } from '../tensorflow-kernel.ts'
import { tfDtype } from '../tf-op.ts'

export const kvWriteConfig = tensorflowKernel<KvWriteAttrs>(kvWriteKernel, ({ attrs, ops, steps, input }) => {
  const kv = asTfKv(attrs.kv)
  const { layer, slotMapping } = attrs
  const [keys, values] = [input('keys'), input('values')]
  if (ops.has('OctavoKvWrite') && [keys, values].every(({ dtype }) => dtype === tfDtype.float32)) {
    const slots = steps.get(ops, slotMapping, {
      name: 'slots',
      make: (own, keep) => keep(own.deviceInts(slotMapping)),
    })
    kv.write(ops, layer, { slots, keys, values })
    return []
  }
  const rows = steps.get(ops, slotMapping, {
    name: `rows ${kv.layout.numKvHeads}`,
    make: (own, keep) => keep(own.deviceInts(kv.rowsOf(slotMapping))),
  })
  kv.scatter(ops, layer, { rows, keys, values })
  return []
})
