export interface TurnOptions {
  /** Whose work it is: callers take turns. Default: a caller of its own. */
  readonly caller?: object | undefined
  /** Ends the wait for a turn. */
  readonly signal?: AbortSignal | undefined
}

/** Of an event loop, for tests without one. */
export interface TurnClock {
  now(): number
  /** Runs it in the next turn, after what has arrived meanwhile. */
  nextTurn(run: () => void): void
}

interface Job {
  start(): void
}

const eventLoop: TurnClock = { now: () => performance.now(), nextTurn: (run) => void setImmediate(run) }
/** So much of a turn is for work, one piece at least; the longest piece bounds how much longer it may take. */
const defaultBudgetMs = 10

/**
 * Work on a thread that others wait for, in pieces, a few in each turn of its event loop however much arrives at once:
 * first come, first served, callers in turn. Without anybody before it a piece runs in the call itself.
 */
export class TurnQueue {
  readonly #clock: TurnClock
  readonly #budgetMs: number
  /** The caller whose turn it is comes first. */
  readonly #waiting = new Map<object, Job[]>()
  #isRunning = false
  #turnStart: number | null = null

  constructor({ clock = eventLoop, budgetMs = defaultBudgetMs }: { clock?: TurnClock; budgetMs?: number } = {}) {
    this.#clock = clock
    this.#budgetMs = budgetMs
  }

  /** @returns what `work` returns or throws, be it a promise or not; only its part up to the first wait is a piece. */
  run<T>(work: () => T | Promise<T>, { caller, signal }: TurnOptions = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const job: Job = {
        start() {
          signal?.removeEventListener('abort', giveUp)
          try {
            resolve(work())
          } catch (error) {
            reject(error)
          }
        },
      }
      const owner = caller ?? job
      const giveUp = (): void => {
        this.#remove(owner, job)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', giveUp, { once: true })
      const jobs = this.#waiting.get(owner)
      if (jobs === undefined) this.#waiting.set(owner, [job])
      else jobs.push(job)
      if (!this.#isRunning && this.#hasTime()) void this.#runWaiting()
    })
  }

  /** Whatever else is done in the turn counts too, from the first piece of work on. */
  #hasTime(): boolean {
    this.#turnStart ??= this.#beginTurn()
    return this.#clock.now() - this.#turnStart < this.#budgetMs
  }

  #beginTurn(): number {
    this.#clock.nextTurn(() => {
      this.#turnStart = null
      if (this.#waiting.size === 0) return
      this.#turnStart = this.#beginTurn()
      void this.#runWaiting()
    })
    return this.#clock.now()
  }

  /** One piece at least, or a budget of nothing would stop all. */
  async #runWaiting(): Promise<void> {
    this.#isRunning = true
    do {
      this.#takeNext()?.start()
      await afterMicrotasks()
    } while (this.#waiting.size > 0 && this.#hasTime())
    this.#isRunning = false
  }

  #takeNext(): Job | undefined {
    for (const [caller, jobs] of this.#waiting) {
      const job = jobs.shift()
      this.#waiting.delete(caller)
      if (jobs.length > 0) this.#waiting.set(caller, jobs)
      return job
    }
    return undefined
  }

  #remove(caller: object, job: Job): void {
    const jobs = this.#waiting.get(caller) ?? []
    jobs.splice(jobs.indexOf(job), 1)
    if (jobs.length === 0) this.#waiting.delete(caller)
  }
}

/** What follows from a piece of work runs before the next one, and counts. */
async function afterMicrotasks(): Promise<void> {
  await Promise.resolve()
  await new Promise<void>((resolve) => process.nextTick(resolve))
}
