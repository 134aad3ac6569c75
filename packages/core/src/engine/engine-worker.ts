import { SHARE_ENV, Worker } from 'node:worker_threads'
import { EngineDeadError } from '../errors.ts'
import type { EngineInfo, EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts'
import { fromTransferredError } from '../error-transfer.ts'

export interface EngineWorkerEvents {
  onProgress(loadedBytes: number, totalBytes: number): void
  onUpdates(message: Extract<FromEngine, { type: 'updates' }>): void
  /** After `start` resolved: the thread failed, and what it held is lost. */
  onDead(error: EngineDeadError): void
}

/** The engine thread as seen from the front: started, spoken to, ended. */
export class EngineWorker {
  readonly #worker: Worker
  readonly #events: EngineWorkerEvents
  readonly #ready = Promise.withResolvers<EngineInfo>()
  readonly #exited = Promise.withResolvers<void>()
  #isReady = false
  #isClosing = false

  private constructor(data: EngineThreadData, events: EngineWorkerEvents) {
    // Sources run as they are (type stripping); the build puts the entry beside the chunks.
    const entry = import.meta.url.endsWith('.ts') ? './engine-thread.ts' : './engine-thread.js'
    // Whoever started the thread may be busy for a while before it asks.
    this.#ready.promise.catch(() => {})
    // Libraries that the thread loads read the process's environment, and so must the thread write it.
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      workerData: data,
      name: 'octavo-engine',
      env: SHARE_ENV,
    })
    this.#events = events
    this.#worker.on('message', (message: FromEngine) => this.#receive(message))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', (code) => {
      this.#exited.resolve()
      if (!this.#isClosing) this.#fail(new Error(`the engine thread exited with code ${code}`))
    })
  }

  /** Starts the thread, which loads the model at once. */
  static start(data: EngineThreadData, events: EngineWorkerEvents): EngineWorker {
    return new EngineWorker(data, events)
  }

  /** Once the model is loaded. Rejects with what loading threw, with its class. */
  get ready(): Promise<EngineInfo> {
    return this.#ready.promise
  }

  send(message: ToEngine): void {
    this.#worker.postMessage(message)
  }

  /** While requests run, the process stays alive for them; an idle engine does not keep it. */
  keepProcessAlive(isNeeded: boolean): void {
    if (isNeeded) this.#worker.ref()
    else this.#worker.unref()
  }

  /** Ends the thread wherever it is. */
  async terminate(): Promise<void> {
    this.#isClosing = true
    await this.#worker.terminate()
  }

  async close(): Promise<void> {
    // A thread that failed is on its way out, too: whoever waits for that must not find the process gone.
    this.#worker.ref()
    if (this.#isClosing) return this.#exited.promise
    this.#isClosing = true
    this.send({ type: 'shutdown' })
    await this.#exited.promise
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case 'progress':
        return this.#events.onProgress(message.loadedBytes, message.totalBytes)
      case 'ready':
        this.#isReady = true
        return this.#ready.resolve(message.info)
      case 'updates':
        return this.#events.onUpdates(message)
      case 'failed':
        return this.#fail(fromTransferredError(message.error))
      case 'closed':
        return
    }
  }

  #fail(cause: Error): void {
    if (!this.#isReady) {
      this.#isClosing = true
      return this.#ready.reject(cause)
    }
    if (this.#isClosing) return
    this.#isClosing = true
    this.#events.onDead(
      new EngineDeadError(
        `The engine stopped: ${cause.message}. The requests that it held are lost; start the engine again.`,
        { cause },
      ),
    )
  }
}
