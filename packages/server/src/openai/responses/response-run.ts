import type { ResponseEvent, ResponseObject } from '@octavo/sdk/protocol'
import { HttpError } from '../../http-error.ts'
import type { Conversation } from './conversation.ts'
import { responseEvents, type ResponseWork } from './response-events.ts'
import type { StoredResponse } from './response-store.ts'
import type { ResponseWriter } from './response-writer.ts'
import { sizeOf } from './size-of.ts'

/** Why a run has ended before its time. */
class CancelledError extends Error {
  constructor() {
    super('The response was cancelled.')
    this.name = 'CancelledError'
  }
}

export interface ResponseRunOptions {
  readonly writer: ResponseWriter
  readonly conversation: Conversation
  /** Keep the events, for clients that come back. */
  readonly isStream: boolean
}

/** A response that is made in the background: it needs nobody who waits for it. */
export class ResponseRun {
  readonly #options: ResponseRunOptions
  readonly #controller = new AbortController()
  readonly #events: ResponseEvent[] = []
  readonly #followers = new Set<() => void>()
  readonly #end = Promise.withResolvers<void>()
  #isOver = false

  constructor(options: ResponseRunOptions) {
    this.#options = options
  }

  /** Fires when it shall end. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get response(): ResponseObject {
    return this.#options.writer.response
  }

  get stored(): StoredResponse {
    const { conversation, isStream } = this.#options
    const { items, numOwnItems, size: itemsSize } = conversation
    const { response } = this
    const events = isStream && this.#isOver ? this.#events : null
    const size = itemsSize + sizeOf(response) + (events === null ? 0 : sizeOf(events))
    return { response, items, numOwnItems, events, itemsSize, size }
  }

  /** Resolves when it has ended, however it did. */
  async drive(work: Omit<ResponseWork, 'writer' | 'signal' | 'keep'>): Promise<void> {
    const { writer, isStream } = this.#options
    const whole = { ...work, writer, signal: this.signal, keep: () => Promise.resolve() }
    try {
      for await (const event of responseEvents(whole, 'queued')) {
        if (isStream) this.#events.push(event)
        this.#wakeFollowers()
      }
    } catch (error) {
      if (!this.signal.aborted) throw error
      writer.cancel()
    } finally {
      this.#isOver = true
      this.#end.resolve()
      this.#wakeFollowers()
    }
  }

  /** Ends it. @returns what it has come to; of one that has ended, that */
  async cancel(reason: Error = new CancelledError()): Promise<ResponseObject> {
    this.#controller.abort(reason)
    await this.#end.promise
    return this.response
  }

  /** Its events after one of them, until it has ended or nobody listens. @throws HttpError where none are kept */
  async *follow(after: number, signal: AbortSignal): AsyncGenerator<ResponseEvent, void, undefined> {
    if (!this.#options.isStream) throw noEvents()
    for (let next = after + 1; !signal.aborted;) {
      const event = this.#events[next]
      if (event !== undefined) {
        next++
        yield event
      } else if (this.#isOver) return
      else await this.#nextChange(signal)
    }
  }

  async #nextChange(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = (): void => resolve()
    this.#followers.add(wake)
    signal.addEventListener('abort', wake, { once: true })
    await promise
    signal.removeEventListener('abort', wake)
    this.#followers.delete(wake)
  }

  #wakeFollowers(): void {
    for (const wake of this.#followers) wake()
  }
}

export function noEvents(): HttpError {
  const message =
    'stream: only responses that were created with background: true and stream: true can be streamed again.'
  return new HttpError(400, message, { param: 'stream' })
}
