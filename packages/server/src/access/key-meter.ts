import { HttpError } from '../http-error.ts'
import { RateBucket } from './rate-bucket.ts'
import { formatSpan, retryAfter } from './retry-after.ts'

/** `null`: no limit. */
export interface KeyLimits {
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  readonly maxConcurrentRequests: number | null
}

/** What a request of a limited caller holds until its answer, and all that it began, has ended. */
export interface Ticket {
  /** Something more goes on for it; each call needs one of `release`. */
  retain(): void
  release(): void
  /** So many tokens have been computed for it. */
  spend(numTokens: number): void
}

/** Counts what a caller asks for. */
export interface RequestMeter {
  /** Held once from the start. @throws HttpError 429 with how long to wait, where the caller is at a limit */
  open(): Ticket
  /** What the caller has left, as headers of every answer. */
  headers(): Readonly<Record<string, string>>
}

/** One key's limits: what a minute allows comes back evenly over it, so a key that was quiet may use a minute's worth at once. */
export class KeyMeter implements RequestMeter {
  readonly #now: () => number
  #requests: RateBucket | null
  #tokens: RateBucket | null
  #maxConcurrent: number | null
  #numOpen = 0

  constructor(limits: KeyLimits, now: () => number = () => performance.now()) {
    this.#now = now
    const { requestsPerMinute, tokensPerMinute } = limits
    this.#requests = requestsPerMinute === null ? null : new RateBucket(requestsPerMinute, now)
    this.#tokens = tokensPerMinute === null ? null : new RateBucket(tokensPerMinute, now)
    this.#maxConcurrent = limits.maxConcurrentRequests
  }

  /** Other limits from now on; what has been used stays used. */
  setLimits({ requestsPerMinute, tokensPerMinute, maxConcurrentRequests }: KeyLimits): void {
    this.#requests = changed(this.#requests, requestsPerMinute, this.#now)
    this.#tokens = changed(this.#tokens, tokensPerMinute, this.#now)
    this.#maxConcurrent = maxConcurrentRequests
  }

  open(): Ticket {
    this.#check()
    this.#requests?.take(1)
    this.#numOpen++
    let numHeld = 1
    return {
      retain: () => void numHeld++,
      release: () => {
        if (--numHeld === 0) this.#numOpen--
      },
      spend: (numTokens) => this.#tokens?.take(numTokens),
    }
  }

  headers(): Readonly<Record<string, string>> {
    return { ...headersOf('requests', this.#requests), ...headersOf('tokens', this.#tokens) }
  }

  #check(): void {
    if (this.#maxConcurrent !== null && this.#numOpen >= this.#maxConcurrent)
      throw this.#refusal(`may have ${this.#maxConcurrent} requests running at once`, usualRequestMs)
    for (const [bucket, noun] of [
      [this.#tokens, 'tokens'],
      [this.#requests, 'requests'],
    ] as const) {
      const waitMs = bucket?.msUntil(1) ?? 0
      if (bucket !== null && waitMs > 0) throw this.#refusal(`may use ${bucket.perMinute} ${noun} a minute`, waitMs)
    }
  }

  #refusal(rule: string, waitMs: number): HttpError {
    return new HttpError(429, `This API key ${rule}; try again in ${formatSpan(waitMs)}.`, {
      code: 'rate_limit_exceeded',
      headers: { ...this.headers(), ...retryAfter(waitMs) },
    })
  }
}

/** When a running request will end is not known. */
const usualRequestMs = 1_000

function changed(bucket: RateBucket | null, perMinute: number | null, now: () => number): RateBucket | null {
  if (perMinute === null) return null
  if (bucket === null) return new RateBucket(perMinute, now)
  bucket.setRate(perMinute)
  return bucket
}

/** By the names of OpenAI's. */
function headersOf(noun: string, bucket: RateBucket | null): Record<string, string> {
  if (bucket === null) return {}
  return {
    [`x-ratelimit-limit-${noun}`]: String(bucket.perMinute),
    [`x-ratelimit-remaining-${noun}`]: String(Math.max(0, Math.floor(bucket.level))),
    [`x-ratelimit-reset-${noun}`]: formatSpan(bucket.msUntil(bucket.perMinute)),
  }
}
