import type { EngineDeadError } from '../errors.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { addCounters, withoutState } from '../scheduler/scheduler-stats.ts'
import { assert } from '../util/assert.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { EngineCoreClient, EngineCoreEvents } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'

/** A core that can be ended, with all memory that it has, and be started anew. Meanwhile it is neither dead nor does it take sequences. */
export class RenewableCoreClient implements EngineCoreClient {
  readonly #create: (previous: EngineInfo | null) => EngineCoreClient
  #client: EngineCoreClient
  /** While it starts. */
  #next: EngineCoreClient | null = null
  #events: EngineCoreEvents | null = null
  /** What the cores counted that were ended. */
  #past: EngineMetrics | null = null
  #isEnded = false
  #isShutDown = false

  /** `create`: a core that has not started. After the first, `previous` is what served before: its context is what clients know of. */
  constructor(create: (previous: EngineInfo | null) => EngineCoreClient) {
    this.#create = create
    this.#client = create(null)
  }

  start(events: EngineCoreEvents): Promise<EngineInfo> {
    this.#events = events
    return this.#client.start(events)
  }

  get info(): EngineInfo {
    return this.#client.info
  }

  get failure(): EngineDeadError | null {
    return this.#isEnded && !this.#isShutDown ? null : this.#client.failure
  }

  add(requests: readonly SequenceRequest[]): void {
    this.#client.add(requests)
  }

  abort(ids: readonly string[]): void {
    if (!this.#isEnded) this.#client.abort(ids)
  }

  async command(command: CoreCommand): Promise<void> {
    // What has ended has no prefix cache that could be found again.
    if (!this.#isEnded) await this.#client.command(command)
  }

  metrics(): EngineMetrics {
    if (this.#past === null) return this.#client.metrics()
    return this.#isEnded ? this.#past : addCounters(this.#client.metrics(), this.#past)
  }

  async checkHealth(): Promise<void> {
    if (!this.#isEnded || this.#isShutDown) await this.#client.checkHealth()
  }

  async shutdown(options?: { readonly timeoutMs?: number }): Promise<void> {
    this.#isShutDown = true
    await Promise.all([this.#client.shutdown(options), this.#next?.shutdown(options)])
  }

  async end(): Promise<void> {
    this.#past = withoutState(this.metrics())
    this.#isEnded = true
    await this.#client.shutdown()
  }

  /** Resolves when it serves; if it cannot, it is as ended as before, and may be asked again. */
  async renew(): Promise<void> {
    const { info } = this
    assert(this.#events !== null && this.#isEnded, 'a core is renewed that runs')
    const client = this.#create(info)
    this.#next = client
    try {
      await client.start(this.#events)
    } catch (error) {
      await client.shutdown({ timeoutMs: 0 })
      throw error
    } finally {
      this.#next = null
    }
    // Shut down meanwhile.
    if (this.#isShutDown) return client.shutdown()
    this.#client = client
    this.#isEnded = false
  }
}
