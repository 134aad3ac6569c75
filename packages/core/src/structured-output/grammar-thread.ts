import { Worker } from 'node:worker_threads'
import { fromTransferredError } from '../error-transfer.ts'
import {
  type FromGrammarThread,
  type GrammarThreadData,
  jobWords,
  type MaskRequest,
  type Refusal,
  type ToGrammarThread,
} from './grammar-messages.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import type { SharedVocabulary } from './shared-vocabulary.ts'

export interface GrammarThreadOptions extends Omit<GrammarThreadData, 'jobs'> {
  readonly name: string
  /** What compiling one grammar may take, and the masks of one sequence. */
  readonly compileTimeoutMs: number
  readonly maskTimeoutMs: number
}

/** How a thread ended. */
export interface GrammarThreadEnd {
  /** The grammar it was at; `null` if at none. */
  readonly grammar: number | null
  readonly isTimeout: boolean
}

interface Compilation {
  readonly grammar: number
  resolve(refusal: Refusal | null): void
  reject(error: Error): void
}

const startTimeoutMs = 60_000
const watchIntervalMs = 50

/** A thread that grammars are compiled in and live in. It may die of any of them; nobody waits for it without a limit. */
export class GrammarThread {
  /** Rejects if it cannot be had: the model's tokenizer allows no grammars. */
  readonly vocabulary: Promise<SharedVocabulary>
  /** Resolves when the thread has ended, or is being ended because a job takes too long. */
  readonly ended: Promise<GrammarThreadEnd>
  numCompiled = 0
  readonly #options: GrammarThreadOptions
  readonly #worker: Worker
  readonly #jobs = new Int32Array(new SharedArrayBuffer(8))
  readonly #vocabulary = Promise.withResolvers<SharedVocabulary>()
  readonly #ended = Promise.withResolvers<GrammarThreadEnd>()
  readonly #compilations: Compilation[] = []
  #isReady = false
  #hasEnded = false
  #watched: { timer: NodeJS.Timeout; count: number; sinceMs: number } | null = null

  constructor(options: GrammarThreadOptions) {
    this.#options = options
    const { name, compileTimeoutMs: _compile, maskTimeoutMs: _mask, ...data } = options
    // Sources run as they are (type stripping); the build puts the entry beside the chunks.
    const entry = import.meta.url.endsWith('.ts') ? './grammar-worker.ts' : './grammar-worker.js'
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      name,
      workerData: { ...data, jobs: this.#jobs.buffer } satisfies GrammarThreadData,
      // The library prints what clients sent.
      stdout: true,
      stderr: true,
    })
    this.#worker.stdout.resume()
    this.#worker.stderr.resume()
    this.#worker.on('message', (message: FromGrammarThread) => this.#receive(message))
    this.#worker.on('error', () => this.#lose(false))
    this.#worker.on('exit', () => this.#lose(false))
    this.vocabulary = this.#vocabulary.promise
    this.vocabulary.catch(() => {})
    this.ended = this.#ended.promise
    this.watch()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get isCompiling(): boolean {
    return this.#compilations.length > 0
  }

  /** @returns why not, or `null`; rejects if the thread dies of it, or of another one's job before it */
  compile(grammar: number, spec: GrammarSpec): Promise<Refusal | null> {
    if (this.#hasEnded) return Promise.reject(new Error('the thread has ended'))
    this.numCompiled++
    const { promise, resolve, reject } = Promise.withResolvers<Refusal | null>()
    this.#compilations.push({ grammar, resolve, reject })
    this.#worker.ref()
    this.#post({ type: 'compile', grammar, text: spec.grammar, stopTokenIds: spec.stopTokenIds })
    return promise
  }

  open(matcher: number, grammar: number): void {
    this.#post({ type: 'open', matcher, grammar })
  }

  askForMasks(requests: readonly MaskRequest[]): void {
    this.#post({ type: 'masks', requests })
  }

  close(matchers: readonly number[]): void {
    this.#post({ type: 'close', matchers })
  }

  forget(grammar: number): void {
    this.#post({ type: 'forget', grammar })
  }

  async end(): Promise<void> {
    this.#lose(false)
    await this.#worker.terminate()
  }

  #post(message: ToGrammarThread): void {
    if (this.#hasEnded) return
    this.#worker.postMessage(message)
    this.watch()
  }

  #receive(message: FromGrammarThread): void {
    switch (message.type) {
      case 'ready':
        this.#isReady = true
        this.#letProcessEnd()
        return this.#vocabulary.resolve(message.vocabulary)
      case 'failed':
        this.#vocabulary.reject(fromTransferredError(message.error))
        return void this.end()
      case 'compiled': {
        const at = this.#compilations.findIndex(({ grammar }) => grammar === message.grammar)
        this.#compilations.splice(at, 1)[0]?.resolve(message.refusal)
        this.#letProcessEnd()
      }
    }
  }

  /** An idle thread keeps nobody. */
  #letProcessEnd(): void {
    if (!this.isCompiling) this.#worker.unref()
  }

  #lose(isTimeout: boolean): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    if (this.#watched !== null) clearInterval(this.#watched.timer)
    const grammar = Atomics.load(this.#jobs, jobWords.grammar)
    this.#ended.resolve({ grammar: grammar === 0 ? null : grammar, isTimeout })
    const error = new Error('a thread for grammars ended')
    this.#vocabulary.reject(error)
    for (const { reject } of this.#compilations.splice(0)) reject(error)
  }

  /** Until there is no work: a job that takes too long ends the thread. */
  watch(): void {
    if (this.#watched !== null || this.#hasEnded) return
    const timer = setInterval(() => this.#check(), watchIntervalMs)
    timer.unref()
    this.#watched = { timer, count: -1, sinceMs: performance.now() }
  }

  #check(): void {
    const watched = this.#watched
    if (watched === null) return
    const count = Atomics.load(this.#jobs, jobWords.count)
    const isIdle = Atomics.load(this.#jobs, jobWords.grammar) === 0
    if (count !== watched.count) {
      watched.count = count
      watched.sinceMs = performance.now()
      return
    }
    if (isIdle && this.#isReady && !this.isCompiling) {
      clearInterval(watched.timer)
      this.#watched = null
      return
    }
    const { compileTimeoutMs, maskTimeoutMs } = this.#options
    const limitMs = !this.#isReady ? startTimeoutMs : this.isCompiling ? compileTimeoutMs : maskTimeoutMs
    if (performance.now() - watched.sinceMs < limitMs) return
    this.#lose(true)
    void this.#worker.terminate()
  }
}
