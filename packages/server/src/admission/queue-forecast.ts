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

/** How the outputs of a request ended. */
export interface Ended {
  readonly numTokens: number
  /** Samples that ended by themselves, before a limit. */
  readonly numStops: number
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
  /** Sequences times milliseconds that were computed until then. */
  readonly computedMs: number
}

/**
 * When places will be free, by a small model: first come, first served; a sequence gets a token every m ms, m from the
 * engine's counters over the last seconds; an output ends at its limit, or before with a chance of h a token, h from the
 * outputs that have ended, so of k that run one ends every 1 / kh tokens. Prompts have no part of their own: what they
 * cost shows in m.
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
  /** Outputs that ended; the last ones count most. */
  #ended: Ended = { numTokens: 0, numStops: 0 }
  #snapshots: Snapshot[] = []
  #computed: { readonly at: number; readonly ms: number }

  constructor({ maxNumSeqs, metrics, now = () => performance.now() }: QueueForecastOptions) {
    this.#maxNumSeqs = maxNumSeqs
    this.#metrics = metrics
    this.#now = now
    this.#computed = { at: now(), ms: 0 }
  }

  /** Of the engine, running or not. An answer that is computed and not yet read to its end counts for nothing. */
  get numSeqs(): number {
    const now = this.#now()
    this.#recent = this.#recent.filter(({ at }) => now - at < hearsayMs)
    const numRecent = this.#recent.reduce((sum, { numSeqs }) => sum + numSeqs, 0)
    const { numRunningSeqs, numWaitingSeqs } = this.#metrics()
    return Math.min(this.#numSeqs, numRunningSeqs + numWaitingSeqs + numRecent)
  }

  get isIdle(): boolean {
    return this.#places.size === 0
  }

  /** Sequences at once: fewer than the engine may compute where the KV cache holds no more. */
  get capacity(): number {
    const { numRunningSeqs, numWaitingSeqs } = this.#metrics()
    if (numWaitingSeqs === 0) return this.#maxNumSeqs
    // Right after a step those that have ended are gone, and nobody has their place yet.
    const peak = Math.max(numRunningSeqs, ...this.#snapshots.map(({ numRunning }) => numRunning))
    return peak === 0 ? this.#maxNumSeqs : Math.min(peak, this.#maxNumSeqs)
  }

  add(numSeqs: number, maxTokens: number | null): Place {
    this.observe()
    const place: Place = { numSeqs, maxTokens, startedAt: null, numTokens: null }
    this.#places.add(place)
    this.#recent.push({ at: this.#now(), numSeqs })
    this.#numSeqs += numSeqs
    this.#startNext()
    return place
  }

  /** It has ended, and nothing more is computed for it. */
  remove(place: Place): void {
    this.observe()
    if (!this.#places.delete(place)) return
    this.#numSeqs -= place.numSeqs
    if (place.startedAt !== null) this.#numStarted -= place.numSeqs
    this.#startNext()
  }

  learn({ numTokens, numStops }: Ended): void {
    const kept = 31 / 32
    this.#ended = {
      numTokens: this.#ended.numTokens * kept + numTokens,
      numStops: this.#ended.numStops * kept + numStops,
    }
  }

  /** How long until so many sequences of those that are there have ended. */
  msUntilFree(numSeqs: number): number {
    this.observe()
    const msPerToken = this.#msPerToken()
    if (msPerToken === null || this.#places.size === 0) return unknownMs
    const places = [...this.#places]
    const running = places.filter(({ startedAt }) => startedAt !== null).map((place) => this.#slotOf(place, msPerToken))
    const waiting = places.filter(({ startedAt }) => startedAt === null)
    const stops = this.#ended.numStops / Math.max(1, this.#ended.numTokens)
    return (
      numTokensUntil(numSeqs, { running, waiting: waiting.map((place) => this.#slotOf(place, msPerToken)), stops }) *
      msPerToken
    )
  }

  #slotOf(place: Place, msPerToken: number): Slot {
    const now = this.#now()
    const numDone = place.numTokens ?? (now - (place.startedAt ?? now)) / msPerToken
    const limit = place.maxTokens ?? (this.#ended.numStops > 0 ? Infinity : usualTokens)
    return { numSeqs: place.numSeqs, numLeft: Math.max(0, limit - numDone) }
  }

  #startNext(): void {
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

  /** Looks at the engine's counters: before anything changes here, and now and then while it computes. */
  observe(): void {
    const at = this.#now()
    const ms = this.#computed.ms + (at - this.#computed.at) * Math.min(this.#numStarted, this.#maxNumSeqs)
    this.#computed = { at, ms }
    const last = this.#snapshots.at(-1)
    if (last !== undefined && at - last.at < observeMs) return
    const { numRunningSeqs, generationTokens } = this.#metrics()
    this.#snapshots.push({ at, numRunning: numRunningSeqs, generationTokens, computedMs: ms })
    while (this.#snapshots.length > 2 && at - this.#snapshots[0]!.at > windowMs) this.#snapshots.shift()
  }

  /** Of a sequence; `null` before anything was computed. */
  #msPerToken(): number | null {
    const [first] = this.#snapshots
    const last = this.#snapshots.at(-1)
    if (first === undefined || last === undefined) return null
    const numTokens = last.generationTokens - first.generationTokens
    const ms = last.computedMs - first.computedMs
    return numTokens > 0 && ms > 0 ? ms / numTokens : null
  }
}

interface Slot {
  readonly numSeqs: number
  /** Tokens to its limit. */
  numLeft: number
}

interface Slots {
  readonly running: Slot[]
  readonly waiting: Slot[]
  /** Chance that an output ends at a token, before its limit. */
  readonly stops: number
}

/** Tokens that every running sequence gets until so many sequences have ended, in this order where none ends at a limit. */
function numTokensUntil(numSeqs: number, { running, waiting, stops }: Slots): number {
  let numTokens = 0
  let numFreed = 0
  for (let step = 0; step < maxSteps; step++) {
    const shortest = running.reduce(
      (best, { numLeft }, i) => (numLeft < (running[best]?.numLeft ?? Infinity) ? i : best),
      0,
    )
    const numToLimit = running[shortest]?.numLeft ?? Infinity
    const numToStop = 1 / (running.length * stops)
    const numNext = Math.min(numToLimit, numToStop)
    if (!Number.isFinite(numNext)) break
    numTokens += numNext
    for (const slot of running) slot.numLeft -= numNext
    const [ended] = running.splice(numToLimit <= numToStop ? shortest : 0, 1)
    numFreed += ended?.numSeqs ?? 0
    if (numFreed >= numSeqs) return numTokens
    const follower = waiting.shift()
    if (follower !== undefined) running.push(follower)
  }
  // Beyond it they go on ending as those did.
  return numFreed === 0 ? usualTokens : numTokens * (numSeqs / numFreed)
}

const observeMs = 100
/** After so long what was admitted shows in the engine's counters. */
const hearsayMs = 1_000
const windowMs = 10_000
/** A flood of refusals must not cost more than what they refuse. */
const maxSteps = 64
const usualTokens = 128
const unknownMs = 1_000
