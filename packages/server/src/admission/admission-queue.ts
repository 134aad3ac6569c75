import type { EngineMetrics } from '@octavo/core'
import { formatSpan, retryAfter } from '../access/retry-after.ts'
import type { Caller } from '../authenticate.ts'
import { HttpError } from '../http-error.ts'
import { type Ended, QueueForecast } from './queue-forecast.ts'

export interface AdmissionOptions {
  /** Sequences that may wait beside those that the engine computes. */
  readonly maxQueuedSeqs: number
  /** What the engine computes at once. */
  readonly maxNumSeqs: number
  readonly metrics: () => EngineMetrics
  /** Milliseconds of a clock. */
  readonly now?: () => number
}

export interface Wanted {
  readonly numSeqs: number
  readonly maxTokens: number | null
  /** Part of a request of which others were admitted: it is not broken off in the middle. */
  readonly isMore: boolean
}

export interface Admitted {
  /** Of a sequence, while they are made. */
  progress(numTokens: number): void
  /** Nothing more is computed for it; again does nothing. */
  leave(): void
  /** It was not aborted. */
  learn(ended: Ended): void
}

interface Tenant {
  numSeqs: number
  seenAt: number
}

/** Refuses what would wait behind too many others, with the time at which it is likely to be taken. */
export class AdmissionQueue {
  readonly #options: AdmissionOptions
  readonly #forecast: QueueForecast
  readonly #now: () => number
  readonly #tenants = new Map<string, Tenant>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#forecast = new QueueForecast(options)
  }

  /** @throws HttpError 503 where the queue is full; 429 where the caller has more than its share of a queue that is half full */
  enter({ tenant }: Caller, { numSeqs, maxTokens, isMore }: Wanted): Admitted {
    const forecast = this.#forecast
    const capacity = forecast.capacity
    const limit = capacity + this.#options.maxQueuedSeqs
    // What is larger than the whole queue must be taken some time.
    const excess = forecast.numSeqs + Math.min(numSeqs, limit) - limit
    if (excess > 0 && !isMore) {
      const queued = forecast.numSeqs - capacity
      throw refusal(
        503,
        `The server is busy: ${queued} sequences wait for the model, and no more than ${this.#options.maxQueuedSeqs} may (maxQueuedSeqs)`,
        forecast.msUntilFree(excess),
      )
    }
    const held =
      tenant === null
        ? null
        : this.#checkShare(tenant, {
            numSeqs,
            limit,
            isHalfFull: !isMore && forecast.numSeqs - capacity > this.#options.maxQueuedSeqs / 2,
          })
    if (held !== null) held.numSeqs += numSeqs
    const place = forecast.add(numSeqs, maxTokens)
    this.#watch()
    let isHere = true
    return {
      progress: (numTokens) => void (place.numTokens = numTokens),
      leave: () => {
        if (isHere && held !== null) held.numSeqs -= numSeqs
        isHere = false
        forecast.remove(place)
      },
      learn: (ended) => forecast.learn(ended),
    }
  }

  /** While there is something to see. */
  #watch(): void {
    this.#timer ??= setInterval(() => {
      this.#forecast.observe()
      if (!this.#forecast.isIdle || this.#timer === null) return
      clearInterval(this.#timer)
      this.#timer = null
    }, watchMs).unref()
  }

  /** Where others call too, one of them gets no more than its share of all places; unless there are many left. */
  #checkShare(
    name: string,
    { numSeqs, limit, isHalfFull }: { readonly numSeqs: number; readonly limit: number; readonly isHalfFull: boolean },
  ): Tenant {
    const now = this.#now()
    for (const [other, { seenAt, numSeqs: held }] of this.#tenants)
      if (held === 0 && now - seenAt > rememberedMs) this.#tenants.delete(other)
    const tenant = this.#tenants.get(name) ?? { numSeqs: 0, seenAt: now }
    tenant.seenAt = now
    this.#tenants.set(name, tenant)
    const share = Math.ceil(limit / this.#tenants.size)
    if (isHalfFull && tenant.numSeqs > 0 && tenant.numSeqs + numSeqs > share)
      throw refusal(
        429,
        `The server is busy, and requests with this API key hold their share of it, ${share} sequences`,
        this.#forecast.msUntilFree(1),
      )
    return tenant
  }
}

const watchMs = 200
const rememberedMs = 60_000
/** Longer is no forecast. */
const maxWaitMs = 300_000

function refusal(status: number, reason: string, waitMs: number): HttpError {
  const ms = Math.min(maxWaitMs, Math.max(1, waitMs))
  return new HttpError(status, `${reason}. There should be room in about ${formatSpan(ms)}; try again then.`, {
    code: status === 429 ? 'rate_limit_exceeded' : status,
    headers: retryAfter(ms),
  })
}
