import { HttpError } from '../../http-error.ts'
import type { ResponseRun } from './response-run.ts'
import type { ResponseStore, StoredResponse } from './response-store.ts'

/** Of one tenant; each holds its conversation, and a place in the engine's queue. */
const maxRuns = 256

interface StartOptions {
  readonly tenant: string | null
  readonly drive: () => Promise<void>
  /** Told of a store that fails. */
  readonly explain: (error: unknown) => unknown
  /** In any case, when nothing more happens. */
  readonly onEnd: () => void
}

/** The responses of a server: those that are being made in the background, and those that the store has. */
export class KeptResponses {
  readonly #store: ResponseStore
  readonly #runs = new Map<string | null, Map<string, ResponseRun>>()
  readonly #ends = new Set<Promise<void>>()

  constructor(store: ResponseStore) {
    this.#store = store
  }

  run(tenant: string | null, id: string): ResponseRun | null {
    return this.#runs.get(tenant)?.get(id) ?? null
  }

  async find(tenant: string | null, id: string): Promise<StoredResponse | null> {
    return this.run(tenant, id)?.stored ?? (await this.#store.get(tenant, id))
  }

  /** False: there is no room for it. */
  async put(tenant: string | null, stored: StoredResponse): Promise<boolean> {
    return this.#store.put(tenant, stored)
  }

  /** Of one that is being made, the end. */
  async delete(tenant: string | null, id: string): Promise<boolean> {
    const run = this.run(tenant, id)
    if (run !== null) this.#forget(tenant, id)
    void run?.cancel()
    return (await this.#store.delete(tenant, id)) || run !== null
  }

  /**
   * Makes a response in the background. What comes of it is kept, unless it was deleted meanwhile.
   * @throws HttpError 400 where one of its id is being made, 429 where the tenant has too many, 413 where there is no room for it
   */
  async start(run: ResponseRun, { tenant, drive, explain, onEnd }: StartOptions): Promise<void> {
    try {
      await this.#begin(tenant, run)
    } catch (error) {
      onEnd()
      throw error
    }
    const end = drive()
      .then(() => this.#keepEnd(tenant, run))
      .catch((error: unknown) => void explain(error))
      .finally(() => {
        this.#ends.delete(end)
        onEnd()
      })
    this.#ends.add(end)
  }

  /** Resolves once nothing is being made any more, and all is kept. */
  async whenIdle(): Promise<void> {
    while (this.#ends.size > 0) await Promise.allSettled(this.#ends)
  }

  async #begin(tenant: string | null, run: ResponseRun): Promise<void> {
    const { id } = run.response
    const runs = this.#runs.get(tenant) ?? new Map<string, ResponseRun>()
    if (runs.size >= maxRuns) {
      const message = `${runs.size} responses are being made in the background already, as many as one client may have; wait for some of them.`
      throw new HttpError(429, message, { headers: { 'retry-after': '1' } })
    }
    // Of two that come at once neither finds the other before.
    if (runs.has(id)) throw idTaken()
    this.#runs.set(tenant, runs.set(id, run))
    try {
      if (await this.#store.put(tenant, run.stored)) return
    } catch (error) {
      this.#forget(tenant, id)
      throw error
    }
    this.#forget(tenant, id)
    throw new HttpError(413, 'The conversation is too large for the store; send it without background: true.')
  }

  async #keepEnd(tenant: string | null, run: ResponseRun): Promise<void> {
    const { id } = run.response
    if (this.run(tenant, id) !== run) return
    try {
      // What it was at its beginning must not stay.
      if (!(await this.#store.put(tenant, run.stored))) await this.#store.delete(tenant, id)
    } finally {
      if (this.run(tenant, id) === run) this.#forget(tenant, id)
    }
  }

  #forget(tenant: string | null, id: string): void {
    const runs = this.#runs.get(tenant)
    runs?.delete(id)
    if (runs?.size === 0) this.#runs.delete(tenant)
  }
}

export function idTaken(): HttpError {
  const message = 'request_id: a response of this id is kept already; choose another.'
  return new HttpError(400, message, { param: 'request_id' })
}
