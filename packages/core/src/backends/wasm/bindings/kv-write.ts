import { kvWriteKernel } from '../../../ops/kv-write.ts'
import type { KvWriteAttrs } from '../../../ops/kv-write.ts'
import { asWasmKv, wasmKernel } from '../wasm-kernel.ts'

export const kvWriteConfig = wasmKernel<KvWriteAttrs>(kvWriteKernel, ({ inputs, attrs, runtime }) => {
  const { layer, slotMapping } = attrs
  const kv = asWasmKv(attrs.kv)
  const cache = kv.layer(layer)
  const [slots = 0] = runtime.heap.scratch(slotMapping.byteLength)
  runtime.heap.ints(slots, slotMapping.length).set(slotMapping)
  const keys = runtime.pointerOf(inputs.keys)
  const values = runtime.pointerOf(inputs.values)
  runtime.kernels.kvWrite(cache.keys, cache.values, keys, values, slots, slotMapping.length, kv.tokenBytes)
  return []
})
