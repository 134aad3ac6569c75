import { topPHead } from './top-p.ts'
import { computeWeights } from './weights.ts'

/** The tokens that may still be drawn. */
export interface Candidates {
  /** Of each token of the vocabulary; 0 for those that may not be drawn. */
  readonly weights: Uint32Array
  /** The sum of the weights, above 0. */
  readonly total: number
}

export interface Truncation {
  /** Of the logits; finite. */
  readonly largest: number
  readonly scale: number
  readonly minPOffset: number
  readonly topK: number
  readonly topP: number
}

/** Temperature, then min-p, top-k (ties kept) and top-p over one row of processed logits, none of them NaN. */
export function selectCandidates(logits: Float32Array, truncation: Truncation): Candidates {
  const { largest, scale, minPOffset, topK, topP } = truncation
  const threshold = Math.max(largest + minPOffset, topKThreshold(logits, topK))
  const weights = computeWeights(logits, { largest, threshold, scale })
  let total = 0
  for (let id = 0; id < weights.length; id++) total += weights[id]!
  return topP < 1 ? keepTopP(weights, total, topP) : { weights, total }
}

/** In place: the weights are the caller's own. */
function keepTopP(weights: Uint32Array, total: number, topP: number): Candidates {
  const { threshold, numTies, mass } = topPHead(weights, total, topP)
  let numLeft = numTies
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!
    if (weight > threshold || (weight === threshold && numLeft-- > 0)) continue
    weights[id] = 0
  }
  return { weights, total: mass }
}

/** NaN as soon as one of them is. */
export function largestOf(logits: Float32Array): number {
  let largest = -Infinity
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!
    if (logit > largest) largest = logit
    else if (Number.isNaN(logit)) return NaN
  }
  return largest
}

function topKThreshold(logits: Float32Array, topK: number): number {
  if (topK === 0 || topK >= logits.length) return -Infinity
  const heap = new Float32Array(topK).fill(-Infinity) // a min-heap of the k largest so far
  for (let i = 0; i < logits.length; i++) if (logits[i]! > heap[0]!) replaceRoot(heap, logits[i]!)
  return heap[0]!
}

function replaceRoot(heap: Float32Array, value: number): void {
  let i = 0
  for (;;) {
    const left = 2 * i + 1
    if (left >= heap.length) break
    const child = left + 1 < heap.length && heap[left + 1]! < heap[left]! ? left + 1 : left
    if (heap[child]! >= value) break
    heap[i] = heap[child]!
    i = child
  }
  heap[i] = value
}
