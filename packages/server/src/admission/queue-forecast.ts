import type { EngineMetrics } from '@octavo/core'

/** A request between its admission and its end. */
export interface Place {
  readonly numSeqs: number
  /** Output tokens of a sequence at most; `null` where the context alone is the limit. */
  readonly maxTokens: number | null
  /** When it left the queue, as far as can be told from here. */
  startedAt: number | null
  /** Output tokens of a sequence so far; `null` where they are not told before the end. */
  numTokens: number | null
}

export interface QueueForecastOptions {
  /** What the engine computes at once. */
  readonly maxNumSeqs: number
  readonly metrics: () => Pick<EngineMetrics, 'numRunningSeqs' | 'numWaitingSeqs' | 'generationTokens'>
  /** Milliseconds of a clock. */
  readonly now?: () => number
}

interface Snapshot {
  readonly at: number
  readonly numRunning: number
  readonly generationTokens: number
}

/**
 * When places will be free, by a small model: first come, first served; a sequence gets a token every m ms, m from the
 * engine's counters over the last seconds; an output is as long as those before it, or as the request allows at most.
 * Prompts have no part of their own: what they cost shows in m.
 */
export class QueueForecast {
  readonly #metrics: QueueForecastOptions['metrics']
  readonly #maxNumSeqs: number
  readonly #now: () => number
  /** In the order in which they came. */
  readonly #places = new Set<Place>()
  /** Of which the engine may not have heard yet. */
  #recent: { readonly at: number; readonly numSeqs: number }[] = []
  #numSeqs = 0
  #numStarted = 0
  #meanTokens: number | null = null
  #snapshots: Snapshot[] = []

  constructor({ maxNumSeqs, metrics, now = () => performance.now() }: QueueForecastOptions) {
    this.#maxNumSeqs = maxNumSeqs
    this.#metrics = metrics
    this.#now = now
  }

  /** Of the engine, running or not. An answer that is computed and not yet read to its end counts for nothing. */
  get numSeqs(): number {
    const now = this.#now()
    this.#recent = this.#recent.filter(({ at }) => now - at < hearsayMs)
    const numRecent = this.#recent.reduce((sum, { numSeqs }) => sum + numSeqs, 0)
    const { numRunningSeqs, numWaitingSeqs } = this.#metrics()
    return Math.min(this.#numSeqs, numRunningSeqs + numWaitingSeqs + numRecent)
  }

  /** Sequences at once: fewer than the engine may compute where the KV cache holds no more. */
  get capacity(): number {
    const { numRunningSeqs, numWaitingSeqs } = this.#metrics()
    return numWaitingSeqs > 0 && numRunningSeqs > 0 ? Math.min(numRunningSeqs, this.#maxNumSeqs) : this.#maxNumSeqs
  }

  add(numSeqs: number, maxTokens: number | null): Place {
    const place: Place = { numSeqs, maxTokens, startedAt: null, numTokens: null }
    this.#places.add(place)
    this.#recent.push({ at: this.#now(), numSeqs })
    this.#numSeqs += numSeqs
    this.#startNext()
    return place
  }

  /** It has ended, and nothing more is computed for it. */
  remove(place: Place): void {
    if (!this.#places.delete(place)) return
    this.#numSeqs -= place.numSeqs
    if (place.startedAt !== null) this.#numStarted -= place.numSeqs
    this.#startNext()
  }

  /** An output that ended by itself had so many tokens. */
  learn(numTokens: number): void {
    this.#meanTokens = this.#meanTokens === null ? numTokens : this.#meanTokens + (numTokens - this.#meanTokens) / 8
  }

  /** How long until so many sequences more than now have ended. */
  msUntilFree(numSeqs: number): number {
    const msPerToken = this.#msPerToken()
    if (msPerToken === null) return unknownMs
    const places = [...this.#places]
    const slots = places
      .filter((place) => place.startedAt !== null)
      .map((place) => ({ numSeqs: place.numSeqs, endsIn: this.#tokensLeft(place, msPerToken) * msPerToken }))
    const waiting = places.filter(({ startedAt }) => startedAt === null)
    let numFreed = 0
    for (let step = 0; step < maxSteps; step++) {
      const next = slots.reduce((best, slot, i) => (slot.endsIn < (slots[best]?.endsIn ?? Infinity) ? i : best), 0)
      const slot = slots[next]
      if (slot === undefined) return unknownMs
      numFreed += slot.numSeqs
      if (numFreed >= numSeqs) return slot.endsIn
      const follower = waiting.shift()
      if (follower === undefined) slots.splice(next, 1)
      else
        slots[next] = { numSeqs: follower.numSeqs, endsIn: slot.endsIn + this.#expectedTokens(follower) * msPerToken }
    }
    // Beyond it the order matters little: so many end per second.
    const perSlotMs = (this.#meanTokens ?? usualTokens) * msPerToken
    return (
      Math.max(0, ...slots.map(({ endsIn }) => endsIn)) +
      ((numSeqs - numFreed) / Math.max(1, this.#numStarted)) * perSlotMs
    )
  }

  #startNext(): void {
    this.#observe()
    if (this.#numStarted === this.#numSeqs) return
    const { capacity } = this
    for (const place of this.#places) {
      if (place.startedAt !== null) continue
      // A request of more samples than there is room for begins with some of them.
      if (this.#numStarted >= capacity) return
      place.startedAt = this.#now()
      this.#numStarted += place.numSeqs
    }
  }

  #expectedTokens({ maxTokens }: Place): number {
    return Math.min(maxTokens ?? Infinity, this.#meanTokens ?? maxTokens ?? usualTokens)
  }

  #tokensLeft(place: Place, msPerToken: number): number {
    const done = place.numTokens ?? (this.#now() - (place.startedAt ?? this.#now())) / msPerToken
    const left = this.#expectedTokens(place) - done
    if (left > 0) return left
    // Longer than usual: nobody knows by how much, but there is an end.
    return Math.min(Math.max(0, (place.maxTokens ?? Infinity) - done), (this.#meanTokens ?? usualTokens) / 2)
  }

  #observe(): void {
    const now = this.#now()
    const last = this.#snapshots.at(-1)
    if (last !== undefined && now - last.at < observeMs) return
    const { numRunningSeqs, generationTokens } = this.#metrics()
    this.#snapshots.push({ at: now, numRunning: numRunningSeqs, generationTokens })
    while (this.#snapshots.length > 2 && now - this.#snapshots[0]!.at > windowMs) this.#snapshots.shift()
  }

  /** Of a sequence; `null` before anything was computed. */
  #msPerToken(): number | null {
    this.#observe()
    const [first] = this.#snapshots
    const last = this.#snapshots.at(-1)
    if (first === undefined || last === undefined) return null
    const numTokens = last.generationTokens - first.generationTokens
    const runningMs = this.#snapshots
      .slice(1)
      .reduce((sum, { at, numRunning }, i) => sum + (at - this.#snapshots[i]!.at) * numRunning, 0)
    return numTokens > 0 && runningMs > 0 ? runningMs / numTokens : null
  }
}

const observeMs = 100
/** After so long what was admitted shows in the engine's counters. */
const hearsayMs = 1_000
const windowMs = 10_000
/** Of the model's work only; a flood of refusals must not cost more than what they refuse. */
const maxSteps = 64
const usualTokens = 128
const unknownMs = 1_000
