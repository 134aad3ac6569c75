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

  /** @throws InvalidRequestError where the grammar is refused, or thread after thread ends of it */
  async prove(grammar: number, spec: GrammarSpec): Promise<void> {
    if (this.#numBusy < this.#options.maxThreads) this.#numBusy++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      for (let attempt = 1; !(await this.#tryOnce(grammar, spec, attempt === maxAttempts)); attempt++);
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

  /** @returns false where a fresh thread should try */
  async #tryOnce(grammar: number, spec: GrammarSpec, isLast: boolean): Promise<boolean> {
    const known = isLast ? undefined : this.#idle.pop()
    const { thread, numRefusals } = known ?? { thread: await this.#createThread(), numRefusals: 0 }
    const answer = await thread.compile(grammar, spec).catch((error: Error) => error)
    if (answer instanceof Error) {
      const end = await thread.ended
      if (this.#isClosed) throw answer
      if (isLast || end.isTimeout) throw deathError(end, this.#options.timeoutMs)
      return false
    }
    if (answer === null) {
      thread.forget(grammar)
      this.#keep({ thread, numRefusals })
      return true
    }
    if (answer.isSound) this.#keep({ thread, numRefusals: numRefusals + 1 })
    else void thread.end()
    // Others before it may have brought the thread to that.
    if (!answer.isSound && known !== undefined) return false
    throw grammarError(answer.reason)
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
