import type { AttentionMetadata } from '../../../ops/attention-metadata.ts'
import { pagedAttentionKernel } from '../../../ops/paged-attention.ts'
import type { PagedAttentionAttrs } from '../../../ops/paged-attention.ts'
import { assert } from '../../../util/assert.ts'
import { CpuKvStorage } from '../cpu-kv-storage.ts'
import { cpuKernel, optionalValuesOf, valuesOf } from '../cpu-kernel.ts'
import { attendSequence } from './attend-sequence.ts'

/** Element `j`: where the cache keeps the sequence's token `j`. */
function slotsOf(metadata: AttentionMetadata, s: number, seqLen: number): Int32Array {
  const slots = new Int32Array(seqLen)
  const { blockSize, blockTables, maxBlocksPerSeq } = metadata
  for (let start = 0, block = s * maxBlocksPerSeq; start < seqLen; start += blockSize, block++) {
    const slot = blockTables[block]! * blockSize
    const end = Math.min(start + blockSize, seqLen)
    for (let j = start; j < end; j++) slots[j] = slot + j - start
  }
  return slots
}

export const pagedAttentionKernelConfig = cpuKernel<PagedAttentionAttrs>(
  pagedAttentionKernel,
  ({ inputs, attrs, backend }) => {
    const { kv, layer, metadata, numHeads } = attrs
    assert(kv instanceof CpuKvStorage, 'pagedAttention: the KV storage was not made by the cpu pack')
    const { numKvHeads, headDim } = kv.layout
    const query = valuesOf(backend, inputs.query)
    const sinks = optionalValuesOf(backend, inputs.sinks)
    const out = new Float32Array(metadata.numTokens * numHeads * headDim)
    for (let s = 0; s < metadata.numSeqs; s++) {
      const [rowStart, rowEnd] = [metadata.queryStartLoc[s]!, metadata.queryStartLoc[s + 1]!]
      const numKeys = metadata.seqLens[s]!
      attendSequence(
        { ...attrs, isCausal: true, out, query, sinks, numKvHeads, headDim, rowStart, rowEnd, numKeys },
        kv.rowsAt(layer, slotsOf(metadata, s, numKeys)),
      )
    }
    return backend.makeTensorInfo([metadata.numTokens, numHeads * headDim], 'float32', out)
  },
)
