import type { SamplingParams } from '../sampling-params.ts'
import { topPHead } from './top-p.ts'

/** The tokens that may still be drawn, in ascending id, with their probabilities (which sum to 1). */
export interface Candidates {
  readonly tokenIds: Int32Array
  readonly probs: Float64Array
}

type Truncation = Pick<SamplingParams, 'temperature' | 'minP' | 'topK' | 'topP'>

/** Temperature, then min-p, top-k (ties kept) and top-p over one row of processed logits; arithmetic in float64. */
export function selectCandidates(logits: Float32Array, params: Truncation): Candidates {
  const maxLogit = maxOf(logits)
  const threshold = Math.max(minPThreshold(maxLogit, params), topKThreshold(logits, params.topK))
  const ids = new Int32Array(logits.length)
  const weights = new Float64Array(logits.length)
  let count = 0
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit === -Infinity || !(logit >= threshold)) continue // NaN is no candidate either
    ids[count] = id
    weights[count++] = Math.exp((logit - maxLogit) / params.temperature)
  }
  if (count === 0) return { tokenIds: Int32Array.of(argmax(logits)), probs: Float64Array.of(1) } // everything was banned
  const all = { tokenIds: ids.subarray(0, count), probs: weights.subarray(0, count) }
  return normalize(params.topP < 1 ? filter(all, topPHead(all.probs, params.topP)) : all)
}

function filter({ tokenIds, probs }: Candidates, isKept: Uint8Array): Candidates {
  return { tokenIds: tokenIds.filter((_, i) => isKept[i] === 1), probs: probs.filter((_, i) => isKept[i] === 1) }
}

/** In place: the weights are this call's own. */
function normalize(candidates: Candidates): Candidates {
  const { probs } = candidates
  let sum = 0
  for (let i = 0; i < probs.length; i++) sum += probs[i]!
  for (let i = 0; i < probs.length; i++) probs[i] = probs[i]! / sum
  return candidates
}

/** Index of the largest logit; the lowest index among equals. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  return best
}

function maxOf(values: Float32Array): number {
  let max = -Infinity
  for (let i = 0; i < values.length; i++) if (values[i]! > max) max = values[i]!
  return max
}

/** `p < minP * pMax` ⇔ `logit < maxLogit + temperature * ln(minP)`. */
function minPThreshold(maxLogit: number, { minP, temperature }: Truncation): number {
  return minP > 0 ? maxLogit + temperature * Math.log(minP) : -Infinity
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
