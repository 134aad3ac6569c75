import {
  add,
  concat,
  expandDims,
  matMul,
  mul,
  neg,
  reshape,
  slice,
  softmax,
  square,
  sub,
  sum,
  tanh,
  tensor2d,
  tile,
  transpose,
} from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core'

/** Which keys a query sees, by positions counted from the sequence's first key. */
export interface Visibility {
  /** A query sees no keys behind its own position. */
  readonly isCausal: boolean
  /** A query at position `p` sees `j` with `|p - j| < slidingWindow` only. */
  readonly slidingWindow: number | null
}

export function firstVisible(position: number, { slidingWindow }: Visibility): number {
  return slidingWindow === null ? 0 : Math.max(0, position - slidingWindow + 1)
}

export function lastVisible(position: number, numKeys: number, { isCausal, slidingWindow }: Visibility): number {
  if (isCausal) return position
  return slidingWindow === null ? numKeys - 1 : Math.min(numKeys - 1, position + slidingWindow - 1)
}

/** One sequence: its `n` queries stand at the last `n` of its `m` keys' positions. */
export interface SequenceTensors {
  readonly query: Tensor2D // [n, numHeads * headDim]
  readonly keys: Tensor3D // [m, numKvHeads, headDim]
  readonly values: Tensor3D // [m, numKvHeads, headDim]
  readonly sinks: Tensor1D | null // [numHeads]
}

export interface SequenceAttrs extends Visibility {
  readonly numHeads: number
  readonly scale: number
  readonly softcap: number | null
}

/** Attention of one sequence in tfjs's standard ops: `[n, numHeads * headDim]`. Runs inside the caller's `tidy`. */
export function attendSequence(tensors: SequenceTensors, attrs: SequenceAttrs): Tensor2D {
  const { query, keys, values } = tensors
  const n = query.shape[0]
  const [m, numKvHeads] = keys.shape
  const weights = slice(attentionWeights(tensors, attrs).probabilities, [0, 0, 0], [attrs.numHeads, n, m])
  const attended = matMul<Tensor3D>(
    reshape(weights, [numKvHeads, -1, m]), // [numKvHeads, heads that share * n, m]
    transpose<Tensor3D>(values, [1, 0, 2]),
  )
  return joinHeads(attended, n)
}

export interface SequenceGradient {
  readonly query: Tensor2D
  readonly keys: Tensor2D // [m, numKvHeads * headDim]
  readonly values: Tensor2D
  readonly sinks: Tensor1D | null
}

/** Of `attendSequence`, `dOut` being the gradient of its output. Runs inside the caller's `tidy`. */
export function sequenceGradient(dOut: Tensor2D, tensors: SequenceTensors, attrs: SequenceAttrs): SequenceGradient {
  const { query, keys, values, sinks } = tensors
  const { numHeads, scale } = attrs
  const n = query.shape[0]
  const [m, numKvHeads, headDim] = keys.shape
  // Heads that share keys and values lie one under the other, so that products over rows add their gradients up.
  const grouped = (x: Tensor3D): Tensor3D => reshape(x, [numKvHeads, -1, x.shape[2]])
  const { capped, probabilities } = attentionWeights(tensors, attrs)
  const weights = slice(probabilities, [0, 0, 0], [numHeads, n, m])
  const dHeads = grouped(splitHeads(dOut, headDim))
  const dValues = matMul<Tensor3D>(grouped(weights), dHeads, true) // [numKvHeads, m, headDim]
  const dWeights: Tensor3D = reshape(matMul(dHeads, transpose(values, [1, 2, 0])), [numHeads, n, m])
  const mean = sum<Tensor3D>(mul(weights, dWeights), 2, true)
  let dScores = mul<Tensor3D>(weights, sub(dWeights, mean))
  if (capped !== null) dScores = mul(dScores, sub(1, square(capped)))
  const dProducts = mul<Tensor3D>(grouped(dScores), scale) // [numKvHeads, heads that share * n, m]
  const dQuery = matMul<Tensor3D>(dProducts, transpose<Tensor3D>(keys, [1, 0, 2]))
  const dKeys = matMul<Tensor3D>(dProducts, grouped(splitHeads(query, headDim)), true)
  const sinkWeights = sinks === null ? null : slice(probabilities, [0, 0, m], [numHeads, n, 1])
  return {
    query: joinHeads(dQuery, n),
    keys: joinHeads(dKeys, m),
    values: joinHeads(dValues, m),
    sinks: sinkWeights === null ? null : neg(sum<Tensor1D>(mul(sinkWeights, mean), [1, 2])),
  }
}

/** The softmax `[numHeads, n, m]`, with sinks one column more; and what softcap made of the scores before. */
function attentionWeights(
  { query, keys, sinks }: SequenceTensors,
  attrs: SequenceAttrs,
): { readonly probabilities: Tensor3D; readonly capped: Tensor3D | null } {
  const { numHeads, scale, softcap } = attrs
  const n = query.shape[0]
  const [m, numKvHeads, headDim] = keys.shape
  const grouped: Tensor3D = reshape(splitHeads(query, headDim), [numKvHeads, -1, headDim])
  let scores: Tensor3D = mul(matMul<Tensor3D>(grouped, transpose(keys, [1, 2, 0])), scale)
  const capped: Tensor3D | null = softcap === null ? null : reshape(tanh(mul(scores, 1 / softcap)), [numHeads, n, m])
  if (capped !== null && softcap !== null) scores = mul(capped, softcap)
  scores = add(reshape(scores, [numHeads, n, m]), visibilityMask(n, m, attrs))
  if (sinks !== null) scores = concat([scores, tile<Tensor3D>(reshape(sinks, [numHeads, 1, 1]), [1, n, 1])], 2)
  return { probabilities: softmax(scores, -1), capped }
}

/** `[n, numHeads * headDim]` → `[numHeads, n, headDim]`. */
function splitHeads(x: Tensor2D, headDim: number): Tensor3D {
  return transpose<Tensor3D>(reshape(x, [x.shape[0], -1, headDim]), [1, 0, 2])
}

/** As `[numHeads, n, headDim]`, in whatever shape → `[n, numHeads * headDim]`. */
function joinHeads(x: Tensor3D, n: number): Tensor2D {
  const headDim = x.shape[2]
  return reshape(transpose(reshape(x, [-1, n, headDim]), [1, 0, 2]), [n, -1])
}

/** `[1, n, m]`: 0 where the row may look, a number far below any score elsewhere. */
function visibilityMask(n: number, m: number, visibility: Visibility): Tensor3D {
  const mask = new Float32Array(n * m).fill(-1e30)
  for (let i = 0; i < n; i++) {
    const position = m - n + i
    mask.fill(0, i * m + firstVisible(position, visibility), i * m + lastVisible(position, m, visibility) + 1)
  }
  return expandDims<Tensor3D>(tensor2d(mask, [n, m]), 0)
}
