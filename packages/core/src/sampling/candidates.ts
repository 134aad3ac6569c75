import type { SamplingParams } from '../sampling-params.ts'

/** The tokens that may still be drawn, in ascending id, with their probabilities (which sum to 1). */
export interface Candidates {
  readonly tokenIds: Int32Array
  readonly probs: Float64Array
}

type Truncation = Pick<SamplingParams, 'temperature' | 'minP' | 'topK' | 'topP'>

/**
 * Temperature, then min-p, top-k (ties kept) and top-p over one row of processed logits; arithmetic in float64.
 * Sorts only the head of the distribution that top-p needs, never the whole vocabulary unless it is flat.
 */
export function selectCandidates(logits: Float32Array, params: Truncation): Candidates {
  const maxLogit = maxOf(logits)
  const threshold = Math.max(minPThreshold(maxLogit, params), topKThreshold(logits, params.topK))
  const tokenIds: number[] = []
  const weights: number[] = []
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit === -Infinity || !(logit >= threshold)) continue // NaN is no candidate either
    tokenIds.push(id)
    weights.push(Math.exp((logit - maxLogit) / params.temperature))
  }
  if (tokenIds.length === 0) return { tokenIds: Int32Array.of(argmax(logits)), probs: Float64Array.of(1) } // everything was banned
  const kept = params.topP < 1 ? topPSubset(weights, params.topP) : null
  const ids = kept === null ? tokenIds : kept.map((i) => tokenIds[i]!)
  const probs = Float64Array.from(kept === null ? weights : kept.map((i) => weights[i]!))
  const sum = probs.reduce((total, p) => total + p, 0)
  for (let i = 0; i < probs.length; i++) probs[i] = probs[i]! / sum
  return { tokenIds: Int32Array.from(ids), probs }
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

/**
 * Indices (ascending) of the smallest head of the distribution whose mass reaches `topP`. Looks at ever smaller
 * probabilities until the head is complete: a peaked distribution sorts a handful of entries.
 */
function topPSubset(weights: readonly number[], topP: number): number[] {
  const sum = weights.reduce((total, w) => total + w, 0)
  for (let cut = 1e-3; ; cut /= 32) {
    const isWhole = cut < 1e-12
    const head: number[] = []
    for (let i = 0; i < weights.length; i++) if (isWhole || weights[i]! >= cut * sum) head.push(i)
    head.sort((a, b) => weights[b]! - weights[a]! || a - b)
    let mass = 0
    let count = 0
    while (count < head.length && mass < topP * sum) mass += weights[head[count++]!]!
    if (mass >= topP * sum || isWhole) return head.slice(0, Math.max(count, 1)).sort((a, b) => a - b)
  }
}
