import { firstVisible, lastVisible } from '../../../ops/attention-sequence.ts'
import type { SequenceAttrs } from '../../../ops/attention-sequence.ts'

/** `keys` and `values` `[…, numKvHeads, headDim]`, of which the sequence's token `j` has row `rows[j]`. */
export interface KvRows {
  readonly keys: Float32Array
  readonly values: Float32Array
  readonly rows: Int32Array
}

export interface SequenceCall extends SequenceAttrs {
  readonly out: Float32Array // [numTokens, numHeads * headDim]
  readonly query: Float32Array // the same shape
  readonly sinks: Float32Array | null // [numHeads]
  readonly numKvHeads: number
  readonly headDim: number
  /** The sequence's rows of `query`: `[rowStart, rowEnd)`. */
  readonly rowStart: number
  readonly rowEnd: number
  readonly numKeys: number
}

/**
 * INVARIANT: a row's scores, its softmax and its weighted sum run over its keys in the order of their positions, from
 * the first to the last that it sees, in float64. Nothing depends on the other rows, so neither the batch nor the
 * chunking of the prompt changes a bit.
 */
export function attendSequence(call: SequenceCall, { keys, values, rows }: KvRows): void {
  const { out, query, sinks, numHeads, numKvHeads, headDim, rowStart, rowEnd, numKeys, scale, softcap } = call
  const width = numKvHeads * headDim
  const group = numHeads / numKvHeads
  const scores = new Float64Array(numKeys)
  const mixed = new Float64Array(headDim)
  for (let row = rowStart; row < rowEnd; row++) {
    const position = numKeys - rowEnd + row
    const first = firstVisible(position, call)
    const last = lastVisible(position, numKeys, call)
    for (let head = 0; head < numHeads; head++) {
      const at = (row * numHeads + head) * headDim
      const kvHead = Math.floor(head / group) * headDim
      scoreKeys(scores, query, keys, rows, at, kvHead, first, last, width, headDim)
      scaleScores(scores, first, last, scale, softcap)
      softmax(scores, first, last, sinks === null ? -Infinity : sinks[head]!)
      mixValues(mixed, scores, values, rows, kvHead, first, last, width, headDim)
      out.set(mixed, at)
    }
  }
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
