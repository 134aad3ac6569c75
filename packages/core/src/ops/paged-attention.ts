import {
  add,
  concat,
  expandDims,
  matMul,
  mul,
  reshape,
  slice,
  softmax,
  tanh,
  tensor2d,
  tidy,
  tile,
  transpose,
} from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { hasKernel, runOp } from './op.ts'

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
 */
export function pagedAttention(query: Tensor2D, options: PagedAttentionOptions): Tensor2D {
  const { sinks, ...attrs } = options
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
  const { numSeqs, queryStartLoc } = options.metadata
  return tidy(() => {
    const outputs: Tensor2D[] = []
    for (let s = 0; s < numSeqs; s++) {
      const start = queryStartLoc[s]!
      const queryLen = queryStartLoc[s + 1]! - start
      if (queryLen > 0) outputs.push(attendSequence(slice(query, [start, 0], [queryLen, -1]), s, options))
    }
    return outputs.length === 0 ? query.clone() : concat(outputs, 0)
  })
}

function attendSequence(query: Tensor2D, s: number, options: PagedAttentionOptions): Tensor2D {
  const { kv, layer, metadata, numHeads, scale, softcap, sinks } = options
  const { numKvHeads, headDim } = kv.layout
  const n = query.shape[0]
  const seqLen = metadata.seqLens[s]!
  const group = numHeads / numKvHeads
  const { keys, values } = kv.gather(layer, sequenceSlots(metadata, s)) // [seqLen, numKvHeads, headDim]

  const heads = transpose<Tensor3D>(reshape(query, [n, numHeads, headDim]), [1, 0, 2])
  const grouped: Tensor3D = reshape(heads, [numKvHeads, group * n, headDim])
  let scores: Tensor3D = mul(matMul<Tensor3D>(grouped, transpose(keys, [1, 2, 0])), scale)
  if (softcap !== null) scores = mul(tanh(mul(scores, 1 / softcap)), softcap)
  scores = add(reshape(scores, [numHeads, n, seqLen]), causalMask(n, seqLen, options.slidingWindow))
  if (sinks !== null) scores = concat([scores, tile<Tensor3D>(reshape(sinks, [numHeads, 1, 1]), [1, n, 1])], 2)
  const weights = slice(softmax(scores, -1), [0, 0, 0], [numHeads, n, seqLen])
  const attended = matMul<Tensor3D>(
    reshape(weights, [numKvHeads, group * n, seqLen]),
    transpose<Tensor3D>(values, [1, 0, 2]),
  )
  return reshape(transpose(reshape(attended, [numHeads, n, headDim]), [1, 0, 2]), [n, numHeads * headDim])
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

/** `[1, n, seqLen]`: 0 where the row may look, a number far below any score elsewhere. */
function causalMask(n: number, seqLen: number, slidingWindow: number | null): Tensor3D {
  const mask = new Float32Array(n * seqLen)
  for (let i = 0; i < n; i++) {
    const position = seqLen - n + i
    const first = slidingWindow === null ? 0 : position - slidingWindow + 1
    for (let j = 0; j < seqLen; j++) if (j < first || j > position) mask[i * seqLen + j] = -1e30
  }
  return expandDims<Tensor3D>(tensor2d(mask, [n, seqLen]), 0)
}
