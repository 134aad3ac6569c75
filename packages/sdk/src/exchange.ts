import { OctavoConnectionError } from './octavo-connection-error.ts'

/** Beyond this, a timer fires at once. */
const maxTimerMs = 2 ** 31 - 1

export interface ExchangeOptions {
  /** The caller's wish to stop. */
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number
  /** What is being asked, for messages: "POST http://…". */
  readonly label: string
}

/** One request and its answer: owns the ways they can be cut short (caller, deadline, end of interest) and tells them apart. */
export class Exchange {
  readonly #controller = new AbortController()
  readonly #options: ExchangeOptions
  readonly #onAbort = (): void => this.#controller.abort(this.#options.signal?.reason)
  #timer: ReturnType<typeof setTimeout> | undefined
  #hasTimedOut = false

  constructor(options: ExchangeOptions) {
    this.#options = options
    options.signal?.addEventListener('abort', this.#onAbort)
    if (options.signal?.aborted === true) this.#onAbort()
    if (Number.isFinite(options.timeoutMs)) {
      this.#timer = setTimeout(
        () => {
          this.#hasTimedOut = true
          this.#controller.abort()
        },
        Math.min(options.timeoutMs, maxTimerMs),
      )
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The caller's own stop and the deadline are final; any other failure may be tried again. */
  get isEnded(): boolean {
    return this.#controller.signal.aborted
  }

  /** From here on only the caller ends it: a stream may take as long as it needs. */
  stopTimer(): void {
    clearTimeout(this.#timer)
  }

  close(): void {
    this.stopTimer()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
  }

  /** What a failed fetch or read means: the caller's own reason, or an OctavoConnectionError. */
  explain(cause: unknown): unknown {
    const { signal, timeoutMs, label } = this.#options
    if (signal?.aborted === true) return signal.reason
    if (this.#hasTimedOut)
      return new OctavoConnectionError(`${label}: no answer within ${timeoutMs} ms.`, { isTimeout: true, cause })
    return new OctavoConnectionError(`${label}: the connection failed (${describeCause(cause)}).`, { cause })
  }
}

/** fetch hides the system's reason in the cause of a TypeError that only says "fetch failed". */
function describeCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
}
