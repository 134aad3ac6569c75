import { setTimeout as sleep } from 'node:timers/promises'
import type { FetchHandler } from '../../fetch-handler.ts'
import { HttpError } from '../../http-error.ts'
import { JsonSource } from '../../json-source.ts'
import { openaiDialect } from '../dialect.ts'
import { newId } from './storage-folder.ts'

/** A request of a batch; its body as it was written. */
export interface RequestLine {
  readonly number: number
  readonly customId: string
  readonly body: string
}

/** A line for the file of results, or of errors. */
export interface ResultLine {
  readonly isSuccess: boolean
  readonly text: string
}

export interface RunLineOptions {
  /** The server itself. */
  readonly fetch: FetchHandler
  /** Where the line goes to, with the prefix that the server has. */
  readonly path: string
  /** By which logs name the line. */
  readonly requestId: string
  /** For lines that have none; `null`: they stay without. */
  readonly priority: number | null
  readonly signal: AbortSignal
}

/** Of a server that is busy or starts its engine again. */
const maxFailures = 8
const maxWaitMs = 60_000

/**
 * Sends a line to the server as a request; a server that has no room is asked again.
 * @throws what the signal fires with
 */
export async function runLine(line: RequestLine, options: RunLineOptions): Promise<ResultLine> {
  const { fetch, path, requestId, signal } = options
  const refusal = refuse(line.body)
  if (refusal !== null)
    return responseLine(line, {
      status: refusal.status,
      requestId,
      body: JSON.stringify(openaiDialect.errorBody(refusal)),
    })
  const headers = { 'content-type': 'application/json', 'x-request-id': requestId }
  const body = withPriority(line.body, options.priority)
  for (let numFailures = 0; ;) {
    signal.throwIfAborted()
    const response = await fetch(new Request(`http://localhost${path}`, { method: 'POST', headers, body, signal }))
    const { status } = response
    const text = await response.text()
    signal.throwIfAborted()
    if (status === 503) numFailures++
    // Its key's limits are waited for, however long.
    const isBusy = status === 503 || status === 429
    if (!isBusy || numFailures === maxFailures) return responseLine(line, { status, requestId, body: text })
    const askedMs = Number(response.headers.get('retry-after') ?? 0) * 1000
    const waitMs = Math.min(maxWaitMs, Math.max(askedMs, 1000 * 2 ** numFailures))
    await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** Nobody is there to read as it comes. */
function refuse(body: string): HttpError | null {
  const members = new JsonSource(body).members()
  const field = ['stream', 'background'].find((name) => members.get(name)?.text === 'true')
  return field === undefined
    ? null
    : new HttpError(400, `${field}: is not for batches; leave it out.`, { param: field })
}

function withPriority(body: string, priority: number | null): string {
  if (priority === null || new JsonSource(body).member('priority') !== undefined) return body
  const members = body.slice(body.indexOf('{') + 1).trimStart()
  return members.startsWith('}') ? `{"priority":${priority}}` : `{"priority":${priority},${members}`
}

interface LineResponse {
  readonly status: number
  readonly requestId: string
  readonly body: string
}

function responseLine({ customId }: RequestLine, { status, requestId, body }: LineResponse): ResultLine {
  const response = `{"status_code":${status},"request_id":${JSON.stringify(requestId)},"body":${body === '' ? 'null' : body}}`
  return { isSuccess: status === 200, text: resultText(customId, response, 'null') }
}

/** Of a line that was not run. */
export function missedLine(
  { customId }: Pick<RequestLine, 'customId'>,
  error: { readonly code: string; readonly message: string },
): ResultLine {
  return { isSuccess: false, text: resultText(customId, 'null', JSON.stringify(error)) }
}

/** Answers are put in as they are: numbers stay as they were written. */
function resultText(customId: string, response: string, error: string): string {
  const id = newId('batch_req_')
  return `{"id":"${id}","custom_id":${JSON.stringify(customId)},"response":${response},"error":${error}}\n`
}
