import type { SamplingParams } from '../sampling-params.ts'
import { topPHead } from './top-p.ts'
import { computeWeights, exponentScale, minPOffset } from './weights.ts'

/** The tokens that may still be drawn. */
export interface Candidates {
  /** Of each token of the vocabulary; 0 for those that may not be drawn. */
  readonly weights: Uint32Array
  /** The sum of the weights, above 0. */
  readonly total: number
}

type Truncation = Pick<SamplingParams, 'temperature' | 'minP' | 'topK' | 'topP'>

/**
 * Temperature, then min-p, top-k (ties kept) and top-p over one row of processed logits; NaN is no candidate. `null` where
 * there is nothing to draw by: everything is banned, or a logit is infinite.
 */
export function selectCandidates(logits: Float32Array, params: Truncation): Candidates | null {
  const largest = maxOf(logits)
  if (!Number.isFinite(largest)) return null
  const threshold = Math.max(largest + minPOffset(params.minP, params.temperature), topKThreshold(logits, params.topK))
  const weights = computeWeights(logits, { largest, threshold, scale: exponentScale(params.temperature) })
  let total = 0
  for (let id = 0; id < weights.length; id++) total += weights[id]!
  return params.topP < 1 ? keepTopP(weights, total, params.topP) : { weights, total }
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

/** Index of the largest logit; the lowest index among equals. NaN never is; 0 where nothing else is there. */
export function argmax(logits: Float32Array): number {
  let best = 0
  let max = -Infinity
  for (let id = 0; id < logits.length; id++) {
    if (logits[id]! > max) {
      max = logits[id]!
      best = id
    }
  }
  return best
}

function maxOf(values: Float32Array): number {
  let max = -Infinity
  for (let i = 0; i < values.length; i++) if (values[i]! > max) max = values[i]!
  return max
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
