import { SHARE_ENV, Worker } from 'node:worker_threads'
import { waitAtMost } from '@octavo/core/engine'
import type { FromRank, ToRank } from '../rank/rank-messages.ts'
import type { RankThreadData } from '../rank/rank-thread.ts'

/** How long a rank may take to free what it holds, and then for its thread's end. */
const endTimeoutMs = 1500
const terminateTimeoutMs = 2000

export interface ComputeThreadEvents {
  onMessage(message: FromRank | Uint8Array<ArrayBuffer>): void
  /** With its exit code, if it came to one: 0 where it was told to end. */
  onLost(reason: Error, exitCode: number | null): void
}

/** The thread in which a rank computes. */
export class ComputeThread {
  readonly #worker: Worker
  readonly #exited = Promise.withResolvers<void>()

  constructor(name: string, encoding: RankThreadData['encoding'], events: ComputeThreadEvents) {
    // Sources run as they are (type stripping); the build puts the entry beside the chunks.
    const entry = import.meta.url.endsWith('.ts') ? '../rank/rank-thread.ts' : './rank-thread.js'
    const workerData: RankThreadData = { encoding }
    // Libraries that the thread loads read the process's environment.
    this.#worker = new Worker(new URL(entry, import.meta.url), { name, workerData, env: SHARE_ENV })
    this.#worker.on('message', (message: FromRank | Uint8Array<ArrayBuffer>) => events.onMessage(message))
    this.#worker.on('error', (error) => events.onLost(error, null))
    this.#worker.on('exit', (code) => {
      this.#exited.resolve()
      events.onLost(new Error(`its thread exited with code ${code}`), code)
    })
  }

  post(message: ToRank | Uint8Array<ArrayBuffer>): void {
    if (message instanceof Uint8Array) this.#worker.postMessage(message, [message.buffer])
    else this.#worker.postMessage(message)
  }

  /** Asks it to end; a thread that does not is terminated, and left behind where even that does not help. */
  async end(): Promise<void> {
    this.post({ type: 'end' })
    if (await waitAtMost(this.#exited.promise, endTimeoutMs)) return
    void this.#worker.terminate()
    // Inside a native call that does not return.
    if (!(await waitAtMost(this.#exited.promise, terminateTimeoutMs))) this.#worker.unref()
  }
}
