/** So much a minute, which comes back evenly; what is taken beyond it is a debt. */
export class RateBucket {
  readonly #now: () => number
  #perMinute: number
  #level: number
  #at: number

  constructor(perMinute: number, now: () => number) {
    this.#now = now
    this.#perMinute = perMinute
    this.#level = perMinute
    this.#at = now()
  }

  get perMinute(): number {
    return this.#perMinute
  }

  get level(): number {
    const now = this.#now()
    this.#level = Math.min(this.#perMinute, this.#level + ((now - this.#at) / minuteMs) * this.#perMinute)
    this.#at = now
    return this.#level
  }

  take(count: number): void {
    this.#level = this.level - count
  }

  /** 0 where so much is there. */
  msUntil(count: number): number {
    return (Math.max(0, Math.min(count, this.#perMinute) - this.level) / this.#perMinute) * minuteMs
  }

  setRate(perMinute: number): void {
    const used = this.#perMinute - this.level
    this.#perMinute = perMinute
    this.#level = perMinute - used
  }
}

const minuteMs = 60_000
