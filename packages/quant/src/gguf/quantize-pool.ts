import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { QuantizeJob } from './quantize-worker.ts'

interface Waiting {
  readonly job: QuantizeJob
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  current: Waiting | null
}

/** Threads that quantize rows; they start with the first jobs. Values handed over are gone. */
export class QuantizePool implements Disposable {
  readonly size = Math.min(availableParallelism(), 8)
  readonly #threads: Thread[] = []
  readonly #waiting: Waiting[] = []

  quantize(job: QuantizeJob): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject })
      this.#advance()
    })
  }

  [Symbol.dispose](): void {
    for (const { worker } of this.#threads.splice(0)) void worker.terminate()
  }

  #advance(): void {
    const [next] = this.#waiting
    if (next === undefined) return
    const thread = this.#threads.find(({ current }) => current === null) ?? this.#start()
    if (thread === null) return
    this.#waiting.shift()
    thread.current = next
    thread.worker.postMessage(next.job, [next.job.values.buffer])
  }

  /** `null` where all threads that there may be are at work. */
  #start(): Thread | null {
    if (this.#threads.length >= this.size) return null
    const entry = import.meta.url.endsWith('.ts') ? './quantize-worker.ts' : './quantize-worker.js'
    const thread: Thread = { worker: new Worker(new URL(entry, import.meta.url)), current: null }
    thread.worker.on('message', (bytes: Uint8Array) => {
      const { current } = thread
      thread.current = null
      current?.resolve(bytes)
      this.#advance()
    })
    thread.worker.on('error', (error: Error) => {
      this.#threads.splice(this.#threads.indexOf(thread), 1)
      thread.current?.reject(error)
      this.#advance()
    })
    this.#threads.push(thread)
    return thread
  }
}
