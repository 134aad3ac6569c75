import { type EngineDeadError, EngineSleepingError, InvalidRequestError } from '../errors.ts'
import type { SleepOptions } from './engine-client.ts'
import type { RenewableCoreClient } from './renewable-core-client.ts'

export interface SleeperOptions {
  readonly core: Pick<RenewableCoreClient, 'command' | 'end' | 'renew'>
  /** Ends what runs. */
  abortAll(): void
  /** Resolves once nothing runs or arrives any more. */
  whenIdle(): Promise<void>
}

interface Sleep {
  readonly mode: SleepOptions['mode']
  readonly awake: PromiseWithResolvers<void>
}

/** Whether an engine sleeps, how deep, and who waits at its door. */
export class Sleeper {
  readonly #options: SleeperOptions
  /** From when nobody is let in. */
  #sleep: Sleep | null = null
  /** What has been given back: `null` while it serves. */
  #level: SleepOptions['level'] | null = null
  /** Why it will never wake up. */
  #end: EngineDeadError | null = null
  /** One change after the other. */
  #change: Promise<void> = Promise.resolve()

  constructor(options: SleeperOptions) {
    this.#options = options
  }

  get isSleeping(): boolean {
    return this.#sleep !== null
  }

  /** How deep it sleeps, or is about to; `null`: it is awake. */
  get level(): SleepOptions['level'] | null {
    return this.#sleep === null ? null : (this.#level ?? 0)
  }

  /** Has a request wait while it sleeps; it may sleep again by the time that the caller goes on. @throws EngineSleepingError */
  async pass(signal: AbortSignal | undefined): Promise<void> {
    if (this.#sleep === null) return
    if (this.#sleep.mode === 'abort') throw new EngineSleepingError()
    await unlessAborted(this.#sleep.awake.promise, signal)
  }

  /** For a request that was let in, and is to begin only now. @throws EngineSleepingError where it was to end, or nothing is there to run it */
  checkOpen(): void {
    if (this.#sleep !== null && (this.#sleep.mode === 'abort' || this.#level !== null)) throw new EngineSleepingError()
  }

  /** @throws InvalidRequestError where the engine cannot sleep so; then it serves on */
  sleep(options: SleepOptions): Promise<void> {
    checkSleepOptions(options)
    return this.#after(() => this.#fallAsleep(options))
  }

  wakeUp(): Promise<void> {
    return this.#after(() => this.#awake())
  }

  /** Those who wait need not do so any longer: it will not wake up. */
  close(error: EngineDeadError): void {
    this.#end ??= error
    this.#sleep?.awake.reject(this.#end)
  }

  async #fallAsleep({ level, mode }: SleepOptions): Promise<void> {
    if (this.#end !== null) throw this.#end
    const { abortAll, whenIdle } = this.#options
    this.#sleep = { mode, awake: this.#sleep?.awake ?? Promise.withResolvers<void>() }
    // Nobody need wait for it.
    this.#sleep.awake.promise.catch(() => undefined)
    if (mode === 'abort') {
      abortAll()
      // They were let in by an earlier sleep that had them wait.
      this.#sleep.awake.resolve()
      this.#sleep = { mode, awake: Promise.withResolvers<void>() }
      this.#sleep.awake.promise.catch(() => undefined)
    } else await whenIdle()
    try {
      await this.#deepen(level)
    } catch (error) {
      if (this.#level === null) this.#open()
      throw error
    }
  }

  async #deepen(level: SleepOptions['level']): Promise<void> {
    const { core } = this.#options
    const before = this.#level ?? -1
    if (level === 1 && before < 1) await core.command('releaseKvCache')
    if (level === 2 && before < 2) await core.end()
    if (level > before) this.#level = level
  }

  async #awake(): Promise<void> {
    if (this.#sleep === null) return
    if (this.#end !== null) throw this.#end
    const { core } = this.#options
    if (this.#level === 1) await core.command('restoreKvCache')
    if (this.#level === 2) await core.renew()
    this.#open()
  }

  #open(): void {
    const sleep = this.#sleep
    this.#level = null
    this.#sleep = null
    sleep?.awake.resolve()
  }

  #after(change: () => Promise<void>): Promise<void> {
    const changed = this.#change.then(change)
    this.#change = changed.catch(() => undefined)
    return changed
  }
}

function checkSleepOptions({ level, mode }: SleepOptions): void {
  if (![0, 1, 2].includes(level))
    throw new InvalidRequestError([{ field: 'level' }, ` must be 0, 1 or 2, got ${String(level)}.`], 'level')
  if (!['abort', 'wait'].includes(mode))
    throw new InvalidRequestError([{ field: 'mode' }, ` must be 'abort' or 'wait', got ${String(mode)}.`], 'mode')
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
