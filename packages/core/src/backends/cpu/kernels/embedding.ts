import { embeddingKernel } from '../../../ops/embedding.ts'
import type { EmbeddingAttrs } from '../../../ops/embedding.ts'
import type { PackedWeight } from '../../../tensor/packed-weight.ts'
import { cpuKernel } from '../cpu-kernel.ts'

/** out `[ids.length, weight.cols]`: the rows `ids`, widened. */
export function embedding(out: Float32Array, ids: Int32Array, weight: PackedWeight): void {
  const { cols } = weight
  for (let i = 0; i < ids.length; i++) weight.readRow(ids[i]!, out.subarray(i * cols, (i + 1) * cols))
}

export const embeddingKernelConfig = cpuKernel<EmbeddingAttrs>(embeddingKernel, ({ attrs, backend }) => {
  const { ids, weight } = attrs
  const out = new Float32Array(ids.length * weight.cols)
  embedding(out, ids, weight)
  return backend.makeTensorInfo([ids.length, weight.cols], 'float32', out)
})
