import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { EngineCore } from './engine-core.ts'
import type { Heartbeat } from './heartbeat.ts'

export interface EngineLoopEvents {
  onUpdates(updates: readonly SequenceUpdate[], metrics: EngineMetrics): void
  onRejected(ids: readonly string[], error: unknown): void
  /** A step threw: the loop has ended. */
  onFailed(error: unknown): void
}

/** So many steps in a row without a scheduled token or an ended sequence mean that the scheduler is stuck. */
const maxIdleSteps = 100

/** Steps an engine core while it has work, and lets messages in between steps; without work it sleeps in the event loop. */
export class EngineLoop {
  readonly #core: EngineCore
  readonly #heartbeat: Heartbeat
  readonly #events: EngineLoopEvents
  #isRunning = false
  #ended: Promise<void> = Promise.resolve()
  #isShutDown = false

  constructor(core: EngineCore, heartbeat: Heartbeat, events: EngineLoopEvents) {
    this.#core = core
    this.#heartbeat = heartbeat
    this.#events = events
    void core.failed?.then((error) => this.#failIdle(error))
  }

  add(requests: readonly SequenceRequest[]): void {
    this.#watched(() => {
      for (const request of requests) this.#addSequence(request)
      if (!this.#isShutDown) this.#core.fillBesides()
    })
    this.#wake()
  }

  abort(ids: readonly string[]): void {
    this.#watched(() => {
      for (const id of ids) this.#core.abortSequence(id)
    })
    this.#events.onUpdates([], this.#core.metrics())
    this.#wake()
  }

  /** What concerns the KV cache waits for the steps that run; of those to come there are none, as nobody is held. */
  async command(command: CoreCommand): Promise<void> {
    if (command !== 'resetPrefixCache') while (this.#isRunning) await this.#ended
    await this.#core.command(command)
  }

  /** Waits for the step that runs now; what is left to do is dropped. */
  async shutdown(): Promise<void> {
    this.#isShutDown = true
    await this.#ended
    await this.#core.shutdown()
  }

  #addSequence(request: SequenceRequest): void {
    try {
      this.#core.addSequence(request)?.then(
        () => this.#resume(),
        (error: unknown) => this.#reject(request, error),
      )
    } catch (error) {
      this.#reject(request, error)
    }
  }

  #reject({ id }: SequenceRequest, error: unknown): void {
    if (!this.#isShutDown) this.#events.onRejected([id], error)
  }

  /** A sequence has come in that waited for its grammar. */
  #resume(): void {
    if (!this.#isShutDown) this.#core.fillBesides()
    this.#wake()
  }

  /** Between steps a message can hang, too; within one it counts as part of it. */
  #watched(handle: () => void): void {
    if (this.#isRunning) return handle()
    this.#heartbeat.begin()
    handle()
    this.#heartbeat.end()
  }

  #wake(): void {
    if (this.#isShutDown || this.#isRunning) return
    this.#isRunning = true
    this.#ended = this.#run()
  }

  /** A step that runs is told by its plan. */
  #failIdle(error: Error): void {
    if (this.#isRunning || this.#isShutDown) return
    this.#isShutDown = true
    this.#events.onFailed(error)
  }

  async #run(): Promise<void> {
    try {
      let numIdleSteps = 0
      while (this.#core.hasWork && !this.#isShutDown) {
        this.#heartbeat.begin()
        const { updates, numTokens, failure } = await this.#core.step()
        this.#heartbeat.end()
        if (failure !== null) throw failure
        numIdleSteps = numTokens > 0 || updates.length > 0 ? 0 : numIdleSteps + 1
        assert(numIdleSteps < maxIdleSteps, 'the scheduler makes no progress')
        this.#events.onUpdates(updates, this.#core.metrics())
        await nextTurn()
      }
    } catch (error) {
      this.#isShutDown = true
      this.#events.onFailed(error)
    } finally {
      this.#heartbeat.end()
      this.#isRunning = false
    }
  }
}
