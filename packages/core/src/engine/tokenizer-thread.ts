import { Worker } from 'node:worker_threads'
import { EngineDeadError, TokenizerError } from '../errors.ts'
import { fromTransferredError } from '../error-transfer.ts'
import type { FromTokenizer, TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

interface Job extends ToTokenizer {
  readonly resolve: (ids: number[]) => void
  readonly reject: (error: Error) => void
}

export interface TokenizerThreadOptions {
  readonly modelPath: string
  /** What one text may take, beside a millisecond per thousand characters. */
  readonly encodeTimeoutMs?: number | undefined
}

const defaultEncodeTimeoutMs = 10_000
const startTimeoutMs = 60_000
const charsPerMs = 1000

/**
 * Encodes texts one after another in a thread of its own, which starts with the first and stays. A text that takes too
 * long ends the thread, and fails; the next one starts another.
 */
export class TokenizerThread {
  readonly #modelPath: string
  readonly #encodeTimeoutMs: number
  readonly #jobs: Job[] = []
  #worker: Worker | null = null
  #isReady = false
  #current: Job | null = null
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor({ modelPath, encodeTimeoutMs = defaultEncodeTimeoutMs }: TokenizerThreadOptions) {
    this.#modelPath = modelPath
    this.#encodeTimeoutMs = encodeTimeoutMs
  }

  /** @throws TokenizerError naming the limit where the text takes longer */
  encode(
    text: string,
    { addSpecialTokens, signal }: Omit<ToTokenizer, 'text'> & { signal?: AbortSignal },
  ): Promise<number[]> {
    if (this.#isClosed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      const job: Job = { text, addSpecialTokens, resolve, reject }
      // What has begun goes on, and its end concerns nobody.
      signal?.addEventListener(
        'abort',
        () => {
          const at = this.#jobs.indexOf(job)
          if (at >= 0) this.#jobs.splice(at, 1)
          reject(signal.reason as Error)
        },
        { once: true },
      )
      this.#jobs.push(job)
      this.#advance()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const { reject } of [...this.#takeCurrent(), ...this.#jobs.splice(0)]) reject(closed())
    await this.#endWorker()
  }

  #advance(): void {
    if (this.#current !== null || this.#jobs.length === 0) return
    if (this.#worker === null) return this.#start()
    if (!this.#isReady) return
    const job = this.#jobs.shift()!
    this.#current = job
    const timeoutMs = this.#encodeTimeoutMs + Math.ceil(job.text.length / charsPerMs)
    this.#expectWithin(timeoutMs, () => {
      return new TokenizerError(
        `The text (${job.text.length} characters) was not tokenized within ${timeoutMs} ms: this tokenizer's patterns take too long on it. Shorten the text, or pass token ids.`,
      )
    })
    this.#worker.ref()
    this.#worker.postMessage({ text: job.text, addSpecialTokens: job.addSpecialTokens } satisfies ToTokenizer)
  }

  #start(): void {
    // Sources run as they are (type stripping); the build puts the entry beside the chunks.
    const entry = import.meta.url.endsWith('.ts') ? './tokenizer-worker.ts' : './tokenizer-worker.js'
    const worker = new Worker(new URL(entry, import.meta.url), {
      workerData: { modelPath: this.#modelPath } satisfies TokenizerThreadData,
      name: 'octavo-tokenizer',
    })
    this.#worker = worker
    worker.on('message', (message: FromTokenizer) => {
      if (this.#worker === worker) this.#receive(message)
    })
    worker.on('error', (error) => {
      if (this.#worker === worker) this.#lose(error)
    })
    worker.on('exit', () => {
      if (this.#worker === worker)
        this.#lose(new TokenizerError('The thread that tokenizes long texts ended; send the text again.'))
    })
    this.#expectWithin(startTimeoutMs, () => {
      return new TokenizerError(`The tokenizer of ${this.#modelPath} was not loaded within ${startTimeoutMs} ms.`)
    })
  }

  #receive(message: FromTokenizer): void {
    this.#stopTimer()
    if (message.type === 'ready') this.#isReady = true
    else {
      for (const job of this.#takeCurrent()) {
        if (message.type === 'ids') job.resolve(Array.from(message.ids))
        else job.reject(fromTransferredError(message.error))
      }
      this.#worker?.unref()
    }
    this.#advance()
  }

  /** The text at fault fails; one that waits for the thread's start fails with it. */
  #lose(error: Error): void {
    const failed = this.#isReady ? this.#takeCurrent() : this.#jobs.splice(0)
    void this.#endWorker()
    for (const { reject } of failed) reject(error)
    this.#advance()
  }

  #expectWithin(timeoutMs: number, errorOf: () => Error): void {
    this.#timer = setTimeout(() => this.#lose(errorOf()), timeoutMs)
  }

  #takeCurrent(): Job[] {
    const job = this.#current
    this.#current = null
    return job === null ? [] : [job]
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  async #endWorker(): Promise<void> {
    this.#stopTimer()
    const worker = this.#worker
    this.#worker = null
    this.#isReady = false
    await worker?.terminate()
  }
}

function closed(): EngineDeadError {
  return new EngineDeadError('The engine was shut down; start a new one.')
}
