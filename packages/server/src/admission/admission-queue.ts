import type { EngineMetrics } from '@octavo/core'
import { formatSpan, retryAfter } from '../access/retry-after.ts'
import type { Caller } from '../authenticate.ts'
import { HttpError } from '../http-error.ts'
import { type Place, QueueForecast } from './queue-forecast.ts'

export interface AdmissionOptions {
  /** Sequences that may wait beside those that the engine computes. */
  readonly maxQueuedSeqs: number
  /** What the engine computes at once. */
  readonly maxNumSeqs: number
  readonly metrics: () => EngineMetrics
  /** Milliseconds of a clock. */
  readonly now?: () => number
}

export interface Admitted {
  readonly place: Place
  /** Nothing more is computed for it; again does nothing. */
  leave(): void
  /** It ended by itself, with so many tokens of output a sequence. */
  learn(numTokens: number): void
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

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#forecast = new QueueForecast(options)
  }

  /** @throws HttpError 503 where the queue is full; 429 where the caller has more than its share of a queue that is half full */
  enter(
    { tenant }: Caller,
    { numSeqs, maxTokens }: { readonly numSeqs: number; readonly maxTokens: number | null },
  ): Admitted {
    const forecast = this.#forecast
    const capacity = forecast.capacity
    const limit = capacity + this.#options.maxQueuedSeqs
    // What is larger than the whole queue must be taken some time.
    const excess = forecast.numSeqs + Math.min(numSeqs, limit) - limit
    if (excess > 0) {
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
            isHalfFull: forecast.numSeqs - capacity > this.#options.maxQueuedSeqs / 2,
          })
    if (held !== null) held.numSeqs += numSeqs
    const place = forecast.add(numSeqs, maxTokens)
    let isHere = true
    return {
      place,
      leave: () => {
        if (isHere && held !== null) held.numSeqs -= numSeqs
        isHere = false
        forecast.remove(place)
      },
      learn: (numTokens) => forecast.learn(numTokens),
    }
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
