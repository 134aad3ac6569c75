import { Worker } from 'node:worker_threads'
import { EngineDeadError } from '../errors.ts'
import { fromTransferredError, type TransferredError } from '../error-transfer.ts'

export type FromJobThread<Output> =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly output: Output }
  | { readonly type: 'failed'; readonly error: TransferredError }

export interface JobThreadOptions<Input> {
  /** Without its end: sources run as they are (type stripping), the build puts the entry beside the chunks. */
  readonly entry: string
  readonly name: string
  readonly workerData?: unknown
  timeoutMsOf(input: Input): number
  /** What is wrong with an input that takes longer. */
  lateError(input: Input, timeoutMs: number): Error
  /** `null`: the thread ended; else it did not start within so many milliseconds. */
  lostError(startTimeoutMs: number | null): Error
}

interface Job<Input, Output> {
  readonly input: Input
  readonly resolve: (output: Output) => void
  readonly reject: (error: Error) => void
}

const startTimeoutMs = 60_000

/**
 * Does jobs one after another in a thread of its own, which starts with the first and stays. A job that takes too long
 * ends the thread, and fails; the next one starts another.
 */
export class JobThread<Input, Output> {
  readonly #options: JobThreadOptions<Input>
  readonly #jobs: Job<Input, Output>[] = []
  #worker: Worker | null = null
  #isReady = false
  #current: Job<Input, Output> | null = null
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: JobThreadOptions<Input>) {
    this.#options = options
  }

  run(input: Input, signal?: AbortSignal): Promise<Output> {
    if (this.#isClosed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      const job: Job<Input, Output> = { input, resolve, reject }
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
    const timeoutMs = this.#options.timeoutMsOf(job.input)
    this.#expectWithin(timeoutMs, () => this.#options.lateError(job.input, timeoutMs))
    this.#worker.ref()
    this.#worker.postMessage(job.input)
  }

  #start(): void {
    const { entry, name, workerData, lostError } = this.#options
    const url = new URL(`./${entry}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
    const worker = new Worker(url, { workerData, name })
    this.#worker = worker
    worker.on('message', (message: FromJobThread<Output>) => {
      if (this.#worker === worker) this.#receive(message)
    })
    worker.on('error', (error) => {
      if (this.#worker === worker) this.#lose(error)
    })
    worker.on('exit', () => {
      if (this.#worker === worker) this.#lose(lostError(null))
    })
    this.#expectWithin(startTimeoutMs, () => lostError(startTimeoutMs))
  }

  #receive(message: FromJobThread<Output>): void {
    this.#stopTimer()
    if (message.type === 'ready') this.#isReady = true
    else {
      for (const job of this.#takeCurrent()) {
        if (message.type === 'done') job.resolve(message.output)
        else job.reject(fromTransferredError(message.error))
      }
      this.#worker?.unref()
    }
    this.#advance()
  }

  /** The job at fault fails; those that wait for the thread's start fail with it. */
  #lose(error: Error): void {
    const failed = this.#isReady ? this.#takeCurrent() : this.#jobs.splice(0)
    void this.#endWorker()
    for (const { reject } of failed) reject(error)
    this.#advance()
  }

  #expectWithin(timeoutMs: number, errorOf: () => Error): void {
    this.#timer = setTimeout(() => this.#lose(errorOf()), timeoutMs)
  }

  #takeCurrent(): Job<Input, Output>[] {
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
