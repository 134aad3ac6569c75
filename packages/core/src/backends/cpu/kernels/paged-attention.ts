import type { AttentionMetadata } from '../../../ops/attention-metadata.ts'
import { pagedAttentionKernel } from '../../../ops/paged-attention.ts'
import type { PagedAttentionAttrs } from '../../../ops/paged-attention.ts'
import { assert } from '../../../util/assert.ts'
import { CpuKvStorage } from '../cpu-kv-storage.ts'
import { cpuKernel, optionalValuesOf, valuesOf } from '../cpu-kernel.ts'

/**
 * out, query `[numTokens, numHeads * headDim]`; sinks `[numHeads]`.
 *
 * INVARIANT: a row's scores, its softmax and its weighted sum run over its keys in the order of their positions, from
 * the window's begin to the row's own, in float64. Nothing depends on the other rows, so neither the batch nor the
 * chunking of the prompt changes a bit.
 */
export function pagedAttention(
  out: Float32Array,
  query: Float32Array,
  kv: CpuKvStorage,
  sinks: Float32Array | null,
  attrs: PagedAttentionAttrs,
): void {
  const { metadata, numHeads, scale, slidingWindow, softcap } = attrs
  const { numKvHeads, headDim } = kv.layout
  const width = numKvHeads * headDim
  const group = numHeads / numKvHeads
  const longest = metadata.seqLens.reduce((a, b) => Math.max(a, b), 0)
  const scores = new Float64Array(longest)
  const mixed = new Float64Array(headDim)
  for (let s = 0; s < metadata.numSeqs; s++) {
    const rowStart = metadata.queryStartLoc[s]!
    const rowEnd = metadata.queryStartLoc[s + 1]!
    const seqLen = metadata.seqLens[s]!
    const { keys, values, rows: slots } = kv.rowsAt(attrs.layer, slotsOf(metadata, s, seqLen))
    for (let row = rowStart; row < rowEnd; row++) {
      const position = seqLen - rowEnd + row
      const first = slidingWindow === null ? 0 : Math.max(0, position - slidingWindow + 1)
      for (let head = 0; head < numHeads; head++) {
        const at = (row * numHeads + head) * headDim
        const kvHead = Math.floor(head / group) * headDim
        scoreKeys(scores, query, keys, slots, at, kvHead, first, position, width, headDim)
        scaleScores(scores, first, position, scale, softcap)
        softmax(scores, first, position, sinks === null ? -Infinity : sinks[head]!)
        mixValues(mixed, scores, values, slots, kvHead, first, position, width, headDim)
        out.set(mixed, at)
      }
    }
  }
}

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

/** scores[j] = query head · key head of token j, first <= j <= last; four sums side by side hide their latency. */
function scoreKeys(
  scores: Float64Array,
  query: Float32Array,
  keys: Float32Array,
  slots: Int32Array,
  queryOffset: number,
  kvHeadOffset: number,
  first: number,
  last: number,
  width: number,
  headDim: number,
): void {
  let j = first
  for (; j + 3 <= last; j += 4) {
    const k0 = slots[j]! * width + kvHeadOffset
    const k1 = slots[j + 1]! * width + kvHeadOffset
    const k2 = slots[j + 2]! * width + kvHeadOffset
    const k3 = slots[j + 3]! * width + kvHeadOffset
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let d = 0; d < headDim; d++) {
      const q = query[queryOffset + d]!
      s0 += q * keys[k0 + d]!
      s1 += q * keys[k1 + d]!
      s2 += q * keys[k2 + d]!
      s3 += q * keys[k3 + d]!
    }
    scores[j] = s0
    scores[j + 1] = s1
    scores[j + 2] = s2
    scores[j + 3] = s3
  }
  for (; j <= last; j++) {
    const k = slots[j]! * width + kvHeadOffset
    let sum = 0
    for (let d = 0; d < headDim; d++) sum += query[queryOffset + d]! * keys[k + d]!
    scores[j] = sum
  }
}

function scaleScores(scores: Float64Array, first: number, last: number, scale: number, softcap: number | null): void {
  if (softcap === null) {
    for (let j = first; j <= last; j++) scores[j] = scores[j]! * scale
  } else {
    for (let j = first; j <= last; j++) scores[j] = softcap * Math.tanh((scores[j]! * scale) / softcap)
  }
}

/** In place; `sink` is one more logit in the denominator, -Infinity for none. */
function softmax(scores: Float64Array, first: number, last: number, sink: number): void {
  let max = sink
  for (let j = first; j <= last; j++) max = Math.max(max, scores[j]!)
  let sum = Math.exp(sink - max)
  for (let j = first; j <= last; j++) {
    const weight = Math.exp(scores[j]! - max)
    scores[j] = weight
    sum += weight
  }
  for (let j = first; j <= last; j++) scores[j] = scores[j]! / sum
}

/** mixed `[headDim]` = Σ scores[j] * value head of token j, added in the order of j. */
function mixValues(
  mixed: Float64Array,
  scores: Float64Array,
  values: Float32Array,
  slots: Int32Array,
  kvHeadOffset: number,
  first: number,
  last: number,
  width: number,
  headDim: number,
): void {
  mixed.fill(0)
  let j = first
  for (; j + 3 <= last; j += 4) {
    const v0 = slots[j]! * width + kvHeadOffset
    const v1 = slots[j + 1]! * width + kvHeadOffset
    const v2 = slots[j + 2]! * width + kvHeadOffset
    const v3 = slots[j + 3]! * width + kvHeadOffset
    const p0 = scores[j]!
    const p1 = scores[j + 1]!
    const p2 = scores[j + 2]!
    const p3 = scores[j + 3]!
    for (let d = 0; d < headDim; d++) {
      mixed[d] = mixed[d]! + p0 * values[v0 + d]! + p1 * values[v1 + d]! + p2 * values[v2 + d]! + p3 * values[v3 + d]!
    }
  }
  for (; j <= last; j++) {
    const v = slots[j]! * width + kvHeadOffset
    const p = scores[j]!
    for (let d = 0; d < headDim; d++) mixed[d] = mixed[d]! + p * values[v + d]!
  }
}

export const pagedAttentionKernelConfig = cpuKernel<PagedAttentionAttrs>(
  pagedAttentionKernel,
  ({ inputs, attrs, backend }) => {
    const { kv, metadata, numHeads } = attrs
    assert(kv instanceof CpuKvStorage, 'pagedAttention: the KV storage was not made by the cpu pack')
    const shape = [metadata.numTokens, numHeads * kv.layout.headDim]
    const out = new Float32Array(metadata.numTokens * numHeads * kv.layout.headDim)
    pagedAttention(out, valuesOf(backend, inputs.query), kv, optionalValuesOf(backend, inputs.sinks), attrs)
    return backend.makeTensorInfo(shape, 'float32', out)
  },
)
