import type { AttentionMetadata } from '../../../ops/attention-metadata.ts'
import { pagedAttentionKernel } from '../../../ops/paged-attention.ts'
import type { PagedAttentionAttrs } from '../../../ops/paged-attention.ts'
import { assert } from '../../../util/assert.ts'
import { asWasmKv, wasmKernel } from '../wasm-kernel.ts'
import { scoreRowBytes, unlimited } from './attention.ts'

export const pagedAttentionConfig = wasmKernel<PagedAttentionAttrs>(
  pagedAttentionKernel,
  ({ inputs, attrs, runtime }) => {
    const { layer, metadata, numHeads, scale } = attrs
    const { queryStartLoc, seqLens, blockTables, maxBlocksPerSeq, numSeqs } = metadata
    const kv = asWasmKv(attrs.kv)
    const { blockSize, numBlocks, numKvHeads, headDim } = kv.layout
    const cache = kv.layer(layer)
    const window = attrs.slidingWindow ?? unlimited
    for (let s = 0; s < numSeqs; s++) checkSequence(metadata, s, numBlocks)

    const rowBytes = numHeads * headDim * Float32Array.BYTES_PER_ELEMENT
    const out = runtime.createOutput(metadata.numTokens, numHeads * headDim)
    const scoreStride = scoreRowBytes(seqLens.subarray(0, numSeqs), window)
    const [scores = 0, tables = 0] = runtime.heap.scratch(2 * scoreStride, blockTables.byteLength)
    runtime.heap.ints(tables, blockTables.length).set(blockTables)
    const query = runtime.pointerOf(inputs.query)
    const sinks = runtime.optionalPointerOf(inputs.sinks)
    for (let s = 0; s < numSeqs; s++) {
      const start = queryStartLoc[s]!
      runtime.kernels.attendSequence(
        out.pointer + start * rowBytes,
        query + start * rowBytes,
        queryStartLoc[s + 1]! - start,
        seqLens[s]!,
        tables + s * maxBlocksPerSeq * Int32Array.BYTES_PER_ELEMENT,
        cache.keys,
        cache.values,
        blockSize,
        numHeads,
        numKvHeads,
        headDim,
        scale,
        true,
        window,
        attrs.softcap ?? 0,
        sinks,
        scores,
        scoreStride,
      )
    }
    return out.tensor
  },
)

/** A block outside the cache would be read from some other array of the heap. */
function checkSequence(metadata: AttentionMetadata, s: number, numBlocks: number): void {
  const { queryStartLoc, seqLens, blockTables, maxBlocksPerSeq, blockSize } = metadata
  const seqLen = seqLens[s]!
  const queryLen = queryStartLoc[s + 1]! - queryStartLoc[s]!
  assert(queryLen >= 0 && queryLen <= seqLen, `pagedAttention: ${queryLen} query rows of a sequence of ${seqLen}`)
  const usedBlocks = Math.ceil(seqLen / blockSize)
  assert(
    usedBlocks <= maxBlocksPerSeq,
    `pagedAttention: ${seqLen} tokens do not fit a table of ${maxBlocksPerSeq} blocks`,
  )
  for (let i = 0; i < usedBlocks; i++) {
    const block = blockTables[s * maxBlocksPerSeq + i]!
    assert(block >= 0 && block < numBlocks, `pagedAttention: block ${block} is outside [0, ${numBlocks})`)
  }
}
