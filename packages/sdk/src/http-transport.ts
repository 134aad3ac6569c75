import { Exchange } from './exchange.ts'
import { OctavoApiError } from './octavo-api-error.ts'
import { errorBodySchema } from './protocol/error-body.ts'

export interface TransportOptions {
  readonly baseUrl: string
  readonly apiKey: string | null
  readonly fetch: typeof globalThis.fetch
  readonly timeoutMs: number
  readonly maxRetries: number
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  readonly maxRetries?: number
}

export interface Answer {
  readonly response: Response
  readonly exchange: Exchange
}

const retriedStatuses: ReadonlySet<number> = new Set([429, 503])
const firstDelayMs = 250
const maxDelayMs = 8_000

/** fetch with a deadline, retries and typed errors. */
export class HttpTransport {
  readonly #options: TransportOptions

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /** Resolves on any 2xx once the headers are here; the deadline then still runs for the body, until `exchange` is closed. */
  async call(call: Call): Promise<Answer> {
    const maxRetries = call.maxRetries ?? this.#options.maxRetries
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#attempt(call)
      if ('answer' in outcome) return outcome.answer
      if (!outcome.canRetry || attempt >= maxRetries) throw outcome.error
      await sleep(outcome.retryAfterMs ?? backoffMs(attempt), call.signal)
    }
  }

  /** The JSON of an answer, read within the deadline. */
  async callForJson(call: Call): Promise<unknown> {
    const { response, exchange } = await this.call(call)
    try {
      return parseJson(await response.text(), response)
    } catch (error) {
      throw OctavoApiError.isInstance(error) ? error : exchange.explain(error)
    } finally {
      exchange.close()
    }
  }

  async #attempt(
    call: Call,
  ): Promise<{ answer: Answer } | { error: unknown; canRetry: boolean; retryAfterMs: number | null }> {
    const url = `${this.#options.baseUrl}${call.path}`
    const { timeoutMs } = this.#options
    const exchange = new Exchange({ signal: call.signal, timeoutMs, label: `${call.method} ${url}` })
    try {
      const response = await this.#options.fetch(url, this.#requestInit(call, exchange.signal))
      if (response.ok) return { answer: { response, exchange } }
      const error = await readError(response)
      exchange.close()
      return { error, canRetry: retriedStatuses.has(response.status), retryAfterMs: parseRetryAfter(response) }
    } catch (cause) {
      exchange.close()
      return { error: exchange.explain(cause), canRetry: !exchange.isEnded, retryAfterMs: null }
    }
  }

  #requestInit(call: Call, signal: AbortSignal): RequestInit {
    const headers: Record<string, string> = { accept: 'application/json, text/event-stream' }
    if (this.#options.apiKey !== null) headers['authorization'] = `Bearer ${this.#options.apiKey}`
    if (call.body === undefined) return { method: call.method, headers, signal }
    headers['content-type'] = 'application/json'
    return { method: call.method, headers, body: toJson(call.body), signal }
  }
}

export function parseJson(text: string, response: Response): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new OctavoApiError(
      {
        message: `The answer is not JSON: is ${response.url} an Octavo server?`,
        status: response.status,
        type: 'InvalidResponseError',
      },
      { cause },
    )
  }
}

async function readError(response: Response): Promise<OctavoApiError> {
  const requestId = response.headers.get('x-request-id')
  const text = await response.text()
  const body = errorBodySchema.safeParse(tryParseJson(text))
  if (body.success) return new OctavoApiError({ ...body.data.error, status: response.status, requestId })
  const message = `HTTP ${response.status} ${response.statusText}: ${text.slice(0, 200)}`
  return new OctavoApiError({ message, status: response.status, requestId })
}

function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function parseRetryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return seconds >= 0 ? Math.min(seconds * 1000, maxDelayMs) : null
}

/** Doubling, with jitter so that clients which failed together do not come back together. */
function backoffMs(attempt: number): number {
  return Math.min(firstDelayMs * 2 ** attempt, maxDelayMs) * (0.5 + Math.random() / 2)
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) throw signal.reason
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** 64-bit seeds are bigints, which JSON has no type for but can write. */
function toJson(body: unknown): string {
  const hasBigint = typeof body === 'object' && body !== null && Object.values(body).some(isBigint)
  return JSON.stringify(
    body,
    hasBigint ? (_key, value: unknown) => (isBigint(value) ? rawJson(value) : value) : undefined,
  )
}

function isBigint(value: unknown): value is bigint {
  return typeof value === 'bigint'
}

function rawJson(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value))
}
