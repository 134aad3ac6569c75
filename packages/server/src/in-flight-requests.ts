import type { ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import type { Caller } from './authenticate.ts'
import { HttpError } from './http-error.ts'

/** Why a request's signal fired. */
export class ClientGoneError extends Error {
  constructor() {
    super('The client closed the connection.')
    this.name = 'ClientGoneError'
  }
}

interface InFlight {
  readonly id: string
  readonly controller: AbortController
  caller: Caller
  isOfModel: boolean
}

/** Work that goes on without anybody waiting for its answer: it must `end` in any case, and soon once its signal fires. */
export interface BackgroundWork {
  /** Aborts when the server can wait no longer. */
  readonly signal: AbortSignal
  end(): void
}

/** Every request between its headers and the end of its answer: its id, its caller, the signal that ends its work. */
export class InFlightRequests {
  readonly #requests = new Map<ServerResponse, InFlight>()
  readonly #background = new Set<AbortController>()
  #isLeaving = false
  #isDraining = false
  #onEmpty: (() => void) | null = null

  /** The server will end soon: it takes requests, and asks for none. */
  get isLeaving(): boolean {
    return this.#isLeaving || this.#isDraining
  }

  leave(): void {
    this.#isLeaving = true
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** `onEnd` runs when the answer is written, or the client is gone before that. */
  open(response: ServerResponse, id: string, onEnd: (isComplete: boolean) => void): void {
    const controller = new AbortController()
    const request: InFlight = { id, controller, caller: { tenant: null }, isOfModel: false }
    this.#requests.set(response, request)
    finished(response, (error) => {
      this.#requests.delete(response)
      request.caller.ticket?.release()
      if (error) controller.abort(new ClientGoneError())
      onEnd(!error)
      this.#checkEmpty()
    })
  }

  /** Work that the server waits for at its end as for requests: a background response. */
  openBackground(): BackgroundWork {
    const controller = new AbortController()
    this.#background.add(controller)
    return {
      signal: controller.signal,
      end: () => {
        this.#background.delete(controller)
        this.#checkEmpty()
      },
    }
  }

  idOf(response: ServerResponse): string {
    return this.#requests.get(response)?.id ?? 'unknown'
  }

  /** Aborts when the client goes away or the server can wait no longer. */
  signalOf(response: ServerResponse): AbortSignal {
    return this.#requests.get(response)?.controller.signal ?? AbortSignal.abort(new ClientGoneError())
  }

  /** Until it is set: nobody's. */
  callerOf(response: ServerResponse): Caller {
    return this.#requests.get(response)?.caller ?? { tenant: null }
  }

  /** The request's ticket is released with it. */
  setCaller(response: ServerResponse, caller: Caller): void {
    const request = this.#requests.get(response)
    if (request !== undefined) request.caller = caller
    else caller.ticket?.release()
  }

  /** It asks something of a model. */
  setOfModel(response: ServerResponse): void {
    const request = this.#requests.get(response)
    if (request !== undefined) request.isOfModel = true
  }

  get numOfModels(): number {
    return [...this.#requests.values()].filter(({ isOfModel }) => isOfModel).length
  }

  /** Of those, the ones that somebody waits for. */
  get numWaitedFor(): number {
    return [...this.#requests.values()].filter(({ isOfModel, caller }) => isOfModel && caller.isBatch !== true).length
  }

  /** Whether a failure is that nobody is there any more to be told of one. */
  isGone(response: ServerResponse, error: unknown): boolean {
    return error instanceof ClientGoneError || response.destroyed
  }

  /** Resolves once nothing is left: all have ended by themselves, or were aborted when the time was over. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true
    if (this.#requests.size + this.#background.size === 0) return
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
    for (const { controller } of this.#requests.values()) controller.abort(reason)
    for (const controller of this.#background) controller.abort(reason)
  }

  #checkEmpty(): void {
    if (this.#requests.size + this.#background.size === 0) this.#onEmpty?.()
  }
}

const lastWordsMs = 1_000
