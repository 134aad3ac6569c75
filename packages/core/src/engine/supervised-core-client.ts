import { EngineDeadError } from '../errors.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { addCounters, withoutState } from '../scheduler/scheduler-stats.ts'
import { assert } from '../util/assert.ts'
import type { Logger } from '../util/logger.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import { type EngineCoreClient, type EngineCoreEvents, noMetrics } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'

/** How an engine that died is started again. */
export interface RestartPolicy {
  /** Before the first attempt; each further one waits twice as long. */
  readonly initialDelayMs: number
  readonly maxDelayMs: number
  /** Attempts in a row after which it stays dead. */
  readonly maxAttempts: number
  /** An engine that served this long begins a new row. */
  readonly healthyAfterMs: number
}

export const defaultRestartPolicy: RestartPolicy = {
  initialDelayMs: 1000,
  maxDelayMs: 60_000,
  maxAttempts: 5,
  healthyAfterMs: 60_000,
}

export interface SupervisedCoreClientOptions {
  /** A core that has not started. After the first, `previous` is what served before: its context is what clients know of. */
  create(previous: EngineInfo | null): EngineCoreClient
  readonly policy: RestartPolicy
  readonly logger: Logger
}

/**
 * A core that is started again when it dies, with back-off. What it held is lost each time; a core that keeps dying stays
 * dead, with the last cause.
 */
export class SupervisedCoreClient implements EngineCoreClient {
  readonly #options: SupervisedCoreClientOptions
  #client: EngineCoreClient
  #events: EngineCoreEvents | null = null
  #info: EngineInfo | null = null
  #failure: EngineDeadError | null = null
  #numAttempts = 0
  #servesSince = 0
  #timer: NodeJS.Timeout | null = null
  #isShutDown = false
  /** What cores counted that have died. */
  #past: EngineMetrics | null = null

  constructor(options: SupervisedCoreClientOptions) {
    this.#options = options
    this.#client = options.create(null)
  }

  async start(events: EngineCoreEvents): Promise<EngineInfo> {
    this.#events = events
    this.#info = await this.#client.start(this.#watched(events))
    this.#servesSince = performance.now()
    return this.#info
  }

  get info(): EngineInfo {
    assert(this.#info !== null, 'an engine that has not started')
    return this.#info
  }

  get failure(): EngineDeadError | null {
    return this.#failure ?? this.#client.failure
  }

  add(requests: readonly SequenceRequest[]): void {
    if (this.#failure !== null) throw this.#failure
    this.#client.add(requests)
  }

  abort(ids: readonly string[]): void {
    if (this.#failure === null) this.#client.abort(ids)
  }

  async command(command: CoreCommand): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    await this.#client.command(command)
  }

  metrics(): EngineMetrics {
    if (this.#failure !== null) return withoutState(this.#past ?? noMetrics(this.info))
    const metrics = this.#client.metrics()
    return this.#past === null ? metrics : addCounters(metrics, this.#past)
  }

  async checkHealth(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    await this.#client.checkHealth()
  }

  async shutdown(options?: { readonly timeoutMs?: number }): Promise<void> {
    this.#isShutDown = true
    this.#keepCounters()
    this.#failure ??= new EngineDeadError('The engine was shut down; start a new one.')
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#client.shutdown(options)
  }

  /** Of the core that serves, before it is gone. */
  #keepCounters(): void {
    if (this.#info !== null && this.#failure === null) this.#past = this.metrics()
  }

  #watched(events: EngineCoreEvents): EngineCoreEvents {
    return {
      onProgress: (loadedBytes, totalBytes) => events.onProgress(loadedBytes, totalBytes),
      onLog: (level, message) => events.onLog(level, message),
      onUpdates: (updates) => events.onUpdates(updates),
      onRejected: (ids, error) => events.onRejected(ids, error),
      onLost: (error) => events.onLost(error),
      onDead: (error) => {
        this.#keepCounters()
        if (performance.now() - this.#servesSince >= this.#options.policy.healthyAfterMs) this.#numAttempts = 0
        this.#plan(error)
      },
    }
  }

  #plan(error: Error): void {
    if (this.#isShutDown) return
    const { policy } = this.#options
    const cause = EngineDeadError.isInstance(error) && error.cause instanceof Error ? error.cause : error
    if (this.#numAttempts >= policy.maxAttempts) {
      this.#failure = new EngineDeadError(
        `The engine stopped: ${cause.message}. It was started again ${policy.maxAttempts} times in vain; mend the cause, then start it anew.`,
        { cause },
      )
      return this.#events?.onDead(this.#failure)
    }
    const delayMs = Math.min(policy.maxDelayMs, policy.initialDelayMs * 2 ** this.#numAttempts++)
    const attempt = `in ${delayMs / 1000} s, attempt ${this.#numAttempts} of ${policy.maxAttempts}`
    this.#failure = new EngineDeadError(
      `The engine stopped: ${cause.message}. The requests that it held are lost; it is started again (${attempt}), so send them again then.`,
      { cause, retryAfterMs: delayMs },
    )
    this.#timer = setTimeout(() => void this.#restart(), delayMs)
    this.#events?.onLost(this.#failure)
  }

  async #restart(): Promise<void> {
    const { logger, create } = this.#options
    const startedAt = performance.now()
    await this.#client.shutdown({ timeoutMs: 0 })
    if (this.#isShutDown || this.#events === null) return
    try {
      this.#client = create(this.#info)
      this.#info = await this.#client.start(this.#watched(this.#events))
    } catch (error) {
      return this.#plan(error instanceof Error ? error : new Error(String(error)))
    }
    if (this.#isShutDown) return
    this.#failure = null
    this.#servesSince = performance.now()
    logger.info(`the engine serves again, after ${((this.#servesSince - startedAt) / 1000).toFixed(1)} s`)
  }
}
