import { embeddingKernel } from '../../../ops/embedding.ts'
import type { EmbeddingAttrs } from '../../../ops/embedding.ts'
import { asWasmWeight, wasmKernel } from '../wasm-kernel.ts'

export const embeddingConfig = wasmKernel<EmbeddingAttrs>(embeddingKernel, ({ attrs, runtime }) => {
  const { ids } = attrs
  const weight = asWasmWeight(attrs.weight)
  const out = runtime.createOutput(ids.length, weight.cols)
  const [idsPointer = 0] = runtime.heap.scratch(ids.byteLength)
  runtime.heap.ints(idsPointer, ids.length).set(ids)
  runtime.kernels.embedding(out.pointer, idsPointer, ids.length, weight.pointer)
  return out.tensor
})
