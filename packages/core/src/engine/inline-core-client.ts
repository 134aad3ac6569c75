import { EngineDeadError } from '../errors.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { waitAtMost } from '../util/wait-at-most.ts'
import { createEngineCore, type EngineCoreData } from './create-engine-core.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import { type EngineCoreClient, type EngineCoreEvents, noMetrics } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'
import { EngineLoop } from './engine-loop.ts'
import { Heartbeat } from './heartbeat.ts'

/** An engine core in this very thread: for tests, debuggers, and where there are no threads. Steps block the event loop. */
export class InlineCoreClient implements EngineCoreClient {
  readonly #data: EngineCoreData
  #info: EngineInfo | null = null
  #loop: EngineLoop | null = null
  #metrics: EngineMetrics | null = null
  #failure: EngineDeadError | null = null

  constructor(data: EngineCoreData) {
    this.#data = data
  }

  async start(events: EngineCoreEvents): Promise<EngineInfo> {
    const { core, info } = await createEngineCore(this.#data, events)
    this.#info = info
    this.#loop = new EngineLoop(core, new Heartbeat(), {
      onUpdates: (updates, metrics) => {
        this.#metrics = metrics
        events.onUpdates(updates)
      },
      onRejected: (ids, error) => events.onRejected(ids, toError(error)),
      onFailed: (error) => {
        const cause = toError(error)
        this.#failure = new EngineDeadError(
          `The engine stopped: ${cause.message}. The requests that it held are lost; start the engine again.`,
          { cause },
        )
        events.onDead(this.#failure)
      },
    })
    return info
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
    this.#loop?.add(requests)
  }

  abort(ids: readonly string[]): void {
    if (this.#failure === null) this.#loop?.abort(ids)
  }

  async command(command: CoreCommand): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    await this.#loop?.command(command)
  }

  metrics(): EngineMetrics {
    return this.#metrics ?? noMetrics(this.info)
  }

  async checkHealth(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
  }

  async shutdown({ timeoutMs = 3000 }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#failure ??= new EngineDeadError('The engine was shut down; start a new one.')
    const loop = this.#loop
    this.#loop = null
    if (loop !== null) await waitAtMost(loop.shutdown(), timeoutMs)
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
