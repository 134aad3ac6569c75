export interface LineGateOptions {
  /** At once. */
  readonly maxLines: number
  /** Requests of clients who wait for their answers. */
  readonly numOthers: () => number
  /** That the engine has no room for yet. */
  readonly numWaitingSeqs: () => number
}

interface Waiter {
  readonly enter: (mayRun: boolean) => void
}

const pollMs = 50
/** While others ask, this part of the lines runs, so that steps stay short. */
const shareBesideOthers = 1 / 4

/**
 * Who of all batches may run the next line: groups in turn, so that a tenant with many batches has no more than another
 * with one. None is started while sequences wait for the engine, but for one, so that batches go on however much is asked.
 */
export class LineGate {
  readonly #options: LineGateOptions
  readonly #groups = new Map<string, Waiter[]>()
  #numRunning = 0
  #poll: NodeJS.Timeout | null = null

  constructor(options: LineGateOptions) {
    this.#options = options
  }

  /** Resolves to true when a line may run, which has to `leave`; to false when the signal fires before. */
  enter(group: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const waiter = { enter: resolve }
    const giveUp = (): void => {
      this.#remove(group, waiter)
      resolve(false)
    }
    signal.addEventListener('abort', giveUp, { once: true })
    this.#groups.set(group, [...(this.#groups.get(group) ?? []), waiter])
    this.#admit()
    return promise.finally(() => signal.removeEventListener('abort', giveUp))
  }

  leave(): void {
    this.#numRunning--
    this.#admit()
  }

  #admit(): void {
    while (this.#groups.size > 0 && this.#mayStart()) {
      const [[group, [first, ...others]]] = this.#groups as unknown as [[string, Waiter[]]]
      this.#groups.delete(group)
      if (others.length > 0) this.#groups.set(group, others)
      this.#numRunning++
      first!.enter(true)
    }
    // That others have gone is not told.
    if (this.#groups.size > 0) this.#poll ??= setInterval(() => this.#admit(), pollMs)
    else if (this.#poll !== null) {
      clearInterval(this.#poll)
      this.#poll = null
    }
  }

  #mayStart(): boolean {
    if (this.#numRunning === 0) return true
    const { maxLines, numOthers, numWaitingSeqs } = this.#options
    const limit = numOthers() > 0 ? Math.max(1, Math.floor(maxLines * shareBesideOthers)) : maxLines
    return this.#numRunning < limit && numWaitingSeqs() === 0
  }

  #remove(group: string, waiter: Waiter): void {
    const left = (this.#groups.get(group) ?? []).filter((other) => other !== waiter)
    if (left.length > 0) this.#groups.set(group, left)
    else this.#groups.delete(group)
  }
}
