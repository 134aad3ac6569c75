import { addN, concat, customGrad, reshape, slice, tidy, zeros } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { attendSequence, sequenceGradient } from './attention-sequence.ts'
import type { SequenceTensors } from './attention-sequence.ts'
import { hasKernel, isTapeOn, runOp } from './op.ts'

/**
 * Tensor inputs: `query` `[numTokens, numHeads * headDim]`, `key`, `value` `[numKvTokens, numKvHeads * headDim]` and, where
 * the model has them, `sinks` `[numHeads]`. A kernel is never asked for an empty batch, but sequences may be empty.
 */
export const attentionKernel = 'OctavoAttention'

export interface AttentionInputs {
  readonly query: Tensor2D // [numTokens, numHeads * headDim]
  readonly key: Tensor2D // [numKvTokens, numKvHeads * headDim]
  readonly value: Tensor2D // [numKvTokens, numKvHeads * headDim]
  /** One learned logit per head that joins the softmax's denominator (gpt-oss, arXiv:2508.10925). */
  readonly sinks: Tensor1D | null // [numHeads]
}

export interface AttentionAttrs {
  /** Sequence `s` owns the query rows `queryStartLoc[s] .. queryStartLoc[s + 1]`. */
  readonly queryStartLoc: Int32Array // [numSeqs + 1]
  /** … and the key and value rows `keyStartLoc[s] .. keyStartLoc[s + 1]`. */
  readonly keyStartLoc: Int32Array // [numSeqs + 1]
  readonly numHeads: number
  readonly numKvHeads: number
  /** Multiplies the scores, usually `headDim ** -0.5`. */
  readonly scale: number
  /**
   * A sequence's `n` queries stand at the positions of the last `n` of its `m` keys: query `i` at `p = i + m - n`.
   * Causal: it sees the keys `j <= p`; otherwise all.
   */
  readonly isCausal: boolean
  /** It sees only those with `|p - j| < slidingWindow`; `null` is no window. */
  readonly slidingWindow: number | null
  /** Scores become `softcap * tanh(score / softcap)` before masking (Gemma 2, arXiv:2408.00118). */
  readonly softcap: number | null
}

/**
 * Attention without a cache, for training, encoders and cross attention: every sequence attends to its own keys, which
 * are rows of `key` and `value`, sequences one after the other without padding → `[numTokens, numHeads * headDim]`.
 * Head `h` reads key/value head `floor(h / (numHeads / numKvHeads))` (grouped-query attention, arXiv:2305.13245).
 *
 * Has gradients with respect to all four inputs. The tape keeps the inputs only: the backward pass computes the
 * probabilities again, one sequence at a time (as in arXiv:2205.14135), so memory grows with the longest sequence.
 */
export function attention(inputs: AttentionInputs, attrs: AttentionAttrs): Tensor2D {
  checkAttention(inputs, attrs)
  if (!isTapeOn()) return computeAttention(inputs, attrs)
  const { query, key, value, sinks } = inputs
  const tensors = [query, key, value, ...(sinks === null ? [] : [sinks])]
  const differentiable = customGrad<Tensor2D>((...args) => {
    const save = args.at(-1)
    assert(typeof save === 'function', 'customGrad hands over its function that saves last')
    save(tensors)
    return {
      value: computeAttention(inputs, attrs),
      gradFunc: (dOut, saved) => attentionGradient(dOut, saved, attrs),
    }
  })
  return differentiable(...tensors)
}

function computeAttention(inputs: AttentionInputs, attrs: AttentionAttrs): Tensor2D {
  const { query, key, value, sinks } = inputs
  if (query.shape[0] === 0) return zeros([0, query.shape[1]])
  if (!hasKernel(attentionKernel)) return attentionComposite(inputs, attrs)
  const tensors = { query, key, value, ...(sinks === null ? {} : { sinks }) }
  return runOp<Tensor2D>(attentionKernel, tensors, attrs)
}

function checkAttention({ query, key, value, sinks }: AttentionInputs, attrs: AttentionAttrs): void {
  const { queryStartLoc, keyStartLoc, numHeads, numKvHeads, slidingWindow, softcap } = attrs
  assert(numHeads % numKvHeads === 0, `attention: ${numHeads} heads do not share ${numKvHeads} KV heads evenly`)
  const headDim = query.shape[1] / numHeads
  assert(Number.isInteger(headDim), `attention: ${query.shape[1]} features are not ${numHeads} heads`)
  for (const rows of [key, value]) {
    assert(
      rows.shape[0] === key.shape[0] && rows.shape[1] === numKvHeads * headDim,
      `attention: keys or values [${rows.shape.join(', ')}], expected [${key.shape[0]}, ${numKvHeads * headDim}]`,
    )
  }
  assert(queryStartLoc.length === keyStartLoc.length, 'attention: queryStartLoc and keyStartLoc differ in length')
  for (const [starts, total] of [
    [queryStartLoc, query.shape[0]],
    [keyStartLoc, key.shape[0]],
  ] as const) {
    assert(starts[0] === 0 && starts.at(-1) === total, `attention: start locations do not run from 0 to ${total}`)
  }
  const needsPositions = attrs.isCausal || slidingWindow !== null
  for (let s = 0; s + 1 < queryStartLoc.length; s++) {
    const [n, m] = [queryStartLoc[s + 1]! - queryStartLoc[s]!, keyStartLoc[s + 1]! - keyStartLoc[s]!]
    assert(
      n >= 0 && m >= 0 && (n === 0 || m >= (needsPositions ? n : 1)),
      `attention: sequence ${s} has ${n} queries and ${m} keys`,
    )
  }
  assert(slidingWindow === null || slidingWindow > 0, `attention: sliding window ${slidingWindow}`)
  assert(softcap === null || softcap > 0, `attention: softcap ${softcap}`)
  assert(sinks === null || sinks.shape[0] === numHeads, `attention: sinks do not have ${numHeads} elements`)
}

export function attentionComposite(inputs: AttentionInputs, attrs: AttentionAttrs): Tensor2D {
  return tidy(() => {
    const outputs: Tensor2D[] = []
    for (const sequence of sequencesOf(attrs)) {
      if (sequence.numQueries === 0) continue
      outputs.push(tidy(() => attendSequence(sliceSequence(inputs, sequence, attrs), attrs)))
    }
    return outputs.length === 0 ? zeros([0, inputs.query.shape[1]]) : concat(outputs, 0)
  })
}

/** Of `attention`, with respect to query, key, value and, where there are some, sinks. */
function attentionGradient(dOut: Tensor2D, saved: readonly Tensor[], attrs: AttentionAttrs): Tensor[] {
  const [query, key, value, sinks = null] = saved as [Tensor2D, Tensor2D, Tensor2D, Tensor1D?]
  const parts = sequencesOf(attrs).map((sequence) => {
    const { firstQuery, numQueries, numKeys } = sequence
    if (numQueries === 0) {
      const unseen = [0, numKeys, numKeys].map((rows, i) => zeros([rows, i === 0 ? query.shape[1] : key.shape[1]]))
      return sinks === null ? unseen : [...unseen, zeros([attrs.numHeads])]
    }
    return tidy(() => {
      const tensors = sliceSequence({ query, key, value, sinks }, sequence, attrs)
      const gradient = sequenceGradient(slice(dOut, [firstQuery, 0], [numQueries, -1]), tensors, attrs)
      return [gradient.query, gradient.keys, gradient.values, ...(gradient.sinks === null ? [] : [gradient.sinks])]
    })
  })
  const of = (input: number): Tensor[] => parts.map((part) => part[input]!)
  const rows = [query, key, value].map((x, input) => (parts.length === 0 ? zeros(x.shape) : concat(of(input), 0)))
  if (sinks === null) return rows
  return [...rows, parts.length === 0 ? zeros([attrs.numHeads]) : addN(of(3))]
}

interface SequenceRows {
  readonly firstQuery: number
  readonly numQueries: number
  readonly firstKey: number
  readonly numKeys: number
}

/** Which rows belong to each sequence, for kernels too. */
export function sequencesOf({
  queryStartLoc,
  keyStartLoc,
}: Pick<AttentionAttrs, 'queryStartLoc' | 'keyStartLoc'>): SequenceRows[] {
  return Array.from({ length: queryStartLoc.length - 1 }, (_, s) => ({
    firstQuery: queryStartLoc[s]!,
    numQueries: queryStartLoc[s + 1]! - queryStartLoc[s]!,
    firstKey: keyStartLoc[s]!,
    numKeys: keyStartLoc[s + 1]! - keyStartLoc[s]!,
  }))
}

function sliceSequence(
  { query, key, value, sinks }: AttentionInputs,
  { firstQuery, numQueries, firstKey, numKeys }: SequenceRows,
  { numKvHeads }: AttentionAttrs,
): SequenceTensors {
  const heads = (rows: Tensor2D): Tensor3D =>
    reshape(slice(rows, [firstKey, 0], [numKeys, -1]), [numKeys, numKvHeads, -1])
  return { query: slice(query, [firstQuery, 0], [numQueries, -1]), keys: heads(key), values: heads(value), sinks }
}
