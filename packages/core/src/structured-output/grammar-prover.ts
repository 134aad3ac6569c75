import type { InvalidRequestError } from '../errors.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { deathError, grammarError } from './grammar.ts'
import type { GrammarThread } from './grammar-thread.ts'

export interface GrammarProverOptions {
  /** Rejects where no grammar can be had. */
  createThread(): Promise<GrammarThread>
  readonly maxThreads: number
  readonly timeoutMs: number
}

/** A refused grammar leaves a little of the library's stack behind: after so many it is not trusted. */
const maxRefusals = 8
const maxProofs = 200
/** A thread may end of something else; the last one is fresh. */
const maxAttempts = 2

interface Idle {
  readonly thread: GrammarThread
  readonly numRefusals: number
}

/** Compiles what nobody has seen yet in threads that serve nobody: their death harms nobody. First come, first compiled. */
export class GrammarProver {
  readonly #options: GrammarProverOptions
  readonly #waiting: (() => void)[] = []
  readonly #threads = new Set<GrammarThread>()
  #idle: Idle[] = []
  #numBusy = 0
  #isClosed = false

  constructor(options: GrammarProverOptions) {
    this.#options = options
  }

  /**
   * @returns why the library refuses it, or `null`
   * @throws InvalidRequestError where it takes too long, or thread after thread ends of it
   */
  async prove(grammar: number, spec: GrammarSpec): Promise<InvalidRequestError | null> {
    if (this.#numBusy < this.#options.maxThreads) this.#numBusy++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      for (let attempt = 1; ; attempt++) {
        const answer = await this.#tryOnce(grammar, spec, attempt === maxAttempts)
        if (answer !== 'again') return answer
      }
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#numBusy--
      else next()
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#threads].map((thread) => thread.end()))
  }

  /** @returns 'again' where a fresh thread should try */
  async #tryOnce(grammar: number, spec: GrammarSpec, isLast: boolean): Promise<InvalidRequestError | null | 'again'> {
    const known = isLast ? undefined : this.#idle.pop()
    const { thread, numRefusals } = known ?? { thread: await this.#createThread(), numRefusals: 0 }
    const answer = await thread.compile(grammar, spec).catch((error: Error) => error)
    if (answer instanceof Error) {
      const end = await thread.ended
      if (this.#isClosed) throw answer
      if (isLast || end.isTimeout) throw deathError(end, this.#options.timeoutMs)
      return 'again'
    }
    if (answer === null) {
      thread.forget(grammar)
      this.#keep({ thread, numRefusals })
      return null
    }
    if (answer.isSound) this.#keep({ thread, numRefusals: numRefusals + 1 })
    else void thread.end()
    // Others before it may have brought the thread to that.
    return !answer.isSound && known !== undefined ? 'again' : grammarError(answer.reason)
  }

  async #createThread(): Promise<GrammarThread> {
    const thread = await this.#options.createThread()
    this.#threads.add(thread)
    void thread.ended.then(() => {
      this.#threads.delete(thread)
      this.#idle = this.#idle.filter((idle) => idle.thread !== thread)
    })
    if (this.#isClosed) await thread.end()
    return thread
  }

  #keep(idle: Idle): void {
    const { thread, numRefusals } = idle
    if (thread.hasEnded || numRefusals >= maxRefusals || thread.numCompiled >= maxProofs) void thread.end()
    else this.#idle.push(idle)
  }
}
