import { concat, slice, tidy } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { attendSequence } from './attention-sequence.ts'
import { hasKernel, refuseTape, runOp } from './op.ts'

/** Tensor inputs: `query` `[numTokens, numHeads * headDim]` and, where the model has them, `sinks` `[numHeads]`. */
export const pagedAttentionKernel = 'OctavoPagedAttention'

export interface PagedAttentionAttrs {
  readonly kv: KvStorage
  readonly layer: number
  readonly metadata: AttentionMetadata
  readonly numHeads: number
  /** Multiplies the scores, usually `headDim ** -0.5`. */
  readonly scale: number
  /** Position `i` attends to `j` with `i - slidingWindow < j <= i`; `null` attends to all `j <= i`. */
  readonly slidingWindow: number | null
  /** Scores become `softcap * tanh(score / softcap)` before masking (Gemma 2, arXiv:2408.00118). */
  readonly softcap: number | null
}

export interface PagedAttentionOptions extends PagedAttentionAttrs {
  /** One learned logit per head that joins the softmax's denominator (gpt-oss, arXiv:2508.10925). */
  readonly sinks: Tensor1D | null // [numHeads]
}

/**
 * Causal attention over the paged cache (Kwon et al. 2023, arXiv:2309.06180): every query row attends to the keys
 * behind its sequence's block table, up to its own position.
 *
 * query `[numTokens, numHeads * headDim]` → the same shape. Head `h` reads key/value head
 * `floor(h / (numHeads / numKvHeads))` (grouped-query attention, arXiv:2305.13245).
 *
 * @throws NoGradientError under a gradient tape: what the cache holds has left it.
 */
export function pagedAttention(query: Tensor2D, options: PagedAttentionOptions): Tensor2D {
  const { sinks, ...attrs } = options
  refuseTape('pagedAttention', 'Train with `attention` of ops/attention.ts, which takes keys and values as tensors.')
  checkAttention(query, options)
  if (!hasKernel(pagedAttentionKernel)) return pagedAttentionComposite(query, options)
  return runOp<Tensor2D>(pagedAttentionKernel, sinks === null ? { query } : { query, sinks }, attrs)
}

function checkAttention(query: Tensor2D, options: PagedAttentionOptions): void {
  const { kv, layer, metadata, numHeads, slidingWindow, softcap, sinks } = options
  const { numLayers, blockSize, numKvHeads, headDim } = kv.layout
  assert(layer >= 0 && layer < numLayers, `pagedAttention: layer ${layer} of ${numLayers}`)
  assert(numHeads % numKvHeads === 0, `pagedAttention: ${numHeads} heads do not share ${numKvHeads} KV heads evenly`)
  assert(
    query.shape[0] === metadata.numTokens && query.shape[1] === numHeads * headDim,
    `pagedAttention: query [${query.shape.join(', ')}], expected [${metadata.numTokens}, ${numHeads * headDim}]`,
  )
  assert(metadata.blockSize === blockSize, `pagedAttention: block size ${metadata.blockSize} against ${blockSize}`)
  assert(
    metadata.queryStartLoc[metadata.numSeqs] === metadata.numTokens,
    'pagedAttention: queryStartLoc does not end at numTokens',
  )
  assert(slidingWindow === null || slidingWindow > 0, `pagedAttention: sliding window ${slidingWindow}`)
  assert(softcap === null || softcap > 0, `pagedAttention: softcap ${softcap}`)
  assert(sinks === null || sinks.shape[0] === numHeads, `pagedAttention: sinks do not have ${numHeads} elements`)
}

export function pagedAttentionComposite(query: Tensor2D, options: PagedAttentionOptions): Tensor2D {
  const { kv, layer, metadata, sinks } = options
  const { numSeqs, queryStartLoc } = metadata
  const attrs = { ...options, isCausal: true }
  return tidy(() => {
    const outputs: Tensor2D[] = []
    for (let s = 0; s < numSeqs; s++) {
      const start = queryStartLoc[s]!
      const queryLen = queryStartLoc[s + 1]! - start
      if (queryLen === 0) continue
      const { keys, values } = kv.gather(layer, sequenceSlots(metadata, s))
      outputs.push(attendSequence({ query: slice(query, [start, 0], [queryLen, -1]), keys, values, sinks }, attrs))
    }
    return outputs.length === 0 ? query.clone() : concat(outputs, 0)
  })
}

/** Slots of the sequence's first `seqLens[s]` tokens, in order. */
function sequenceSlots(metadata: AttentionMetadata, s: number): Int32Array {
  const { blockSize, blockTables, maxBlocksPerSeq, seqLens } = metadata
  const slots = new Int32Array(seqLens[s]!)
  for (let j = 0; j < slots.length; j++) {
    const block = blockTables[s * maxBlocksPerSeq + Math.floor(j / blockSize)]!
    slots[j] = block * blockSize + (j % blockSize)
  }
  return slots
}
