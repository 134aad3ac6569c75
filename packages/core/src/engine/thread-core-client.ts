import { writeSync } from 'node:fs'
import { SHARE_ENV, Worker } from 'node:worker_threads'
import { EngineDeadError } from '../errors.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { waitAtMost } from '../util/wait-at-most.ts'
import type { EngineCoreData } from './create-engine-core.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import { type EngineCoreClient, type EngineCoreEvents, noMetrics } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'
import type { EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts'
import { fromTransferredError } from '../error-transfer.ts'
import { Heartbeat } from './heartbeat.ts'

/** How long a shutdown waits for the step that runs, and then for the thread's end. */
const closeTimeoutMs = 3000
const terminateTimeoutMs = 2000

/** An engine core in a thread of its own: started, spoken to, ended. */
export class ThreadCoreClient implements EngineCoreClient {
  readonly #data: EngineThreadData
  readonly #heartbeat = new Heartbeat()
  readonly #ready = Promise.withResolvers<EngineInfo>()
  readonly #exited = Promise.withResolvers<void>()
  /** Ids of sequences that have not ended. */
  readonly #held = new Set<string>()
  readonly #commands = new Map<number, PromiseWithResolvers<void>>()
  #numCommands = 0
  #worker: Worker | null = null
  #events: EngineCoreEvents | null = null
  #info: EngineInfo | null = null
  #metrics: EngineMetrics | null = null
  #failure: EngineDeadError | null = null
  #closing: Promise<void> | null = null

  constructor(data: EngineCoreData) {
    this.#data = { ...data, heartbeat: this.#heartbeat.buffer }
    // Whoever started the thread may be busy for a while before it asks.
    this.#ready.promise.catch(() => {})
  }

  start(events: EngineCoreEvents): Promise<EngineInfo> {
    assert(this.#worker === null, 'an engine thread started twice')
    this.#events = events
    // Sources run as they are (type stripping); the build puts the entry beside the chunks.
    const entry = import.meta.url.endsWith('.ts') ? './engine-thread.ts' : './engine-thread.js'
    // Libraries that the thread loads read the process's environment, and so must the thread write it.
    const worker = new Worker(new URL(entry, import.meta.url), {
      workerData: this.#data,
      name: 'octavo-engine',
      env: SHARE_ENV,
    })
    this.#worker = worker
    worker.on('message', (message: FromEngine) => this.#receive(message))
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', (code) => {
      this.#exited.resolve()
      this.#fail(new Error(`the engine thread exited with code ${code}`))
    })
    return this.#ready.promise
  }

  get info(): EngineInfo {
    assert(this.#info !== null, 'an engine that has not started')
    return this.#info
  }

  get failure(): EngineDeadError | null {
    return this.#failure
  }

  add(requests: readonly SequenceRequest[]): void {
    if (this.#failure !== null) throw this.#failure
    for (const { id } of requests) this.#held.add(id)
    this.#keepProcessAlive()
    this.#send({ type: 'add', requests })
  }

  abort(ids: readonly string[]): void {
    if (this.#failure !== null) return
    this.#send({ type: 'abort', ids })
    this.#forget(ids)
  }

  async command(command: CoreCommand): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    const id = this.#numCommands++
    const done = Promise.withResolvers<void>()
    this.#commands.set(id, done)
    this.#keepProcessAlive()
    this.#send({ type: 'command', id, command })
    await done.promise.finally(() => {
      this.#commands.delete(id)
      this.#keepProcessAlive()
    })
  }

  metrics(): EngineMetrics {
    const metrics = this.#metrics ?? noMetrics(this.info)
    // What has been sent since the last step waits, though the thread does not know of it while a step runs.
    return { ...metrics, numWaitingSeqs: Math.max(0, this.#held.size - metrics.numRunningSeqs) }
  }

  async checkHealth(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    const { stepTimeoutMs } = this.#data.config.device
    const { busyMs } = this.#heartbeat
    if (busyMs <= stepTimeoutMs) return
    throw new EngineDeadError(
      `The engine does not go on: its step has been running for ${Math.floor(busyMs)} ms, and stepTimeoutMs is ${stepTimeoutMs}. Restart the engine, or raise stepTimeoutMs if steps may take that long.`,
    )
  }

  shutdown({ timeoutMs = closeTimeoutMs }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    const worker = this.#worker
    this.#failure ??= new EngineDeadError('The engine was shut down; start a new one.')
    this.#ready.reject(this.#failure)
    this.#failCommands(this.#failure)
    if (worker === null) return
    // Whoever waits for this must not find the process gone.
    worker.ref()
    // A thread that still loads would hear of it only afterwards.
    if (this.#info !== null) {
      this.#send({ type: 'shutdown' })
      if (await waitAtMost(this.#exited.promise, timeoutMs)) return
    }
    void worker.terminate()
    if (await waitAtMost(this.#exited.promise, terminateTimeoutMs)) return
    worker.unref()
    this.#leaveBehind()
  }

  /**
   * A thread inside a native call that does not return cannot be ended, and Node waits at the process's exit for the end
   * of all threads: only a signal ends such a process.
   */
  #leaveBehind(): void {
    const kill = (): void => {
      writeSync(2, 'the engine thread is inside a native call that does not return: the process ends by SIGKILL\n')
      process.kill(process.pid, 'SIGKILL')
    }
    process.once('exit', kill)
    void this.#exited.promise.then(() => process.off('exit', kill))
  }

  #send(message: ToEngine): void {
    this.#worker?.postMessage(message)
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case 'progress':
        return this.#events?.onProgress(message.loadedBytes, message.totalBytes)
      case 'log':
        return this.#events?.onLog(message.level, message.message)
      case 'ready':
        this.#info = message.info
        this.#keepProcessAlive()
        return this.#ready.resolve(message.info)
      case 'updates':
        this.#metrics = message.metrics
        this.#forget(message.updates.filter(({ finishReason }) => finishReason !== null).map(({ id }) => id))
        return this.#events?.onUpdates(message.updates)
      case 'rejected':
        this.#forget(message.ids)
        return this.#events?.onRejected(message.ids, fromTransferredError(message.error))
      case 'done':
        if (message.error === null) return this.#commands.get(message.id)?.resolve()
        return this.#commands.get(message.id)?.reject(fromTransferredError(message.error))
      case 'failed':
        return this.#fail(fromTransferredError(message.error))
    }
  }

  /** While sequences run, the process stays alive for them; an idle engine does not keep it. */
  #keepProcessAlive(): void {
    if (this.#closing !== null) return
    if (this.#held.size > 0 || this.#commands.size > 0) this.#worker?.ref()
    else this.#worker?.unref()
  }

  #forget(ids: readonly string[]): void {
    for (const id of ids) this.#held.delete(id)
    this.#keepProcessAlive()
  }

  #failCommands(error: EngineDeadError): void {
    for (const { reject } of this.#commands.values()) reject(error)
  }

  #fail(cause: Error): void {
    if (this.#failure !== null) return
    this.#failure = new EngineDeadError(
      `The engine stopped: ${cause.message}. The requests that it held are lost; start the engine again.`,
      { cause },
    )
    this.#failCommands(this.#failure)
    if (this.#info === null) return this.#ready.reject(cause)
    this.#events?.onDead(this.#failure)
  }
}
