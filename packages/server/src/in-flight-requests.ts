import type { ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import { HttpError } from './http-error.ts'

/** Why a request's signal fired. */
export class ClientGoneError extends Error {
  constructor() {
    super('The client closed the connection.')
    this.name = 'ClientGoneError'
  }
}

/** Every request between its headers and the end of its answer, each with the signal that ends its work. */
export class InFlightRequests {
  readonly #controllers = new Map<ServerResponse, AbortController>()
  #isDraining = false
  #onEmpty: (() => void) | null = null

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** `onEnd` runs when the answer is written, or the client is gone before that. */
  open(response: ServerResponse, onEnd: (isComplete: boolean) => void): void {
    const controller = new AbortController()
    this.#controllers.set(response, controller)
    finished(response, (error) => {
      this.#controllers.delete(response)
      if (error) controller.abort(new ClientGoneError())
      onEnd(!error)
      if (this.#controllers.size === 0) this.#onEmpty?.()
    })
  }

  /** Aborts when the client goes away or the server can wait no longer. */
  signalOf(response: ServerResponse): AbortSignal {
    return this.#controllers.get(response)?.signal ?? AbortSignal.abort(new ClientGoneError())
  }

  /** Resolves once nothing is left: all have ended by themselves, or were aborted when the time was over. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true
    if (this.#controllers.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onEmpty = resolve
    const timers = [
      setTimeout(() => this.#abortAll(), timeoutMs),
      // An aborted request still writes its last words; a client that does not read them is not waited for.
      setTimeout(resolve, timeoutMs + lastWordsMs),
    ]
    await promise
    for (const timer of timers) clearTimeout(timer)
  }

  #abortAll(): void {
    const reason = new HttpError(503, 'The server is shutting down; the request was aborted.')
    for (const controller of this.#controllers.values()) controller.abort(reason)
  }
}

const lastWordsMs = 1_000
