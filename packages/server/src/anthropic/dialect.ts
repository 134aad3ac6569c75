import type { MessageErrorBody } from '@octavo/sdk/protocol'
import type { Dialect } from '../dialect.ts'
import type { HttpError } from '../http-error.ts'

const errorTypes: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
}

/** Anthropic's. */
export const anthropicDialect: Dialect = {
  errorBody,
  // What its clients know as a server that has too much to do.
  statusOf: ({ status }) => (status === 503 ? 529 : status),
  frameOf: (event) => frameOf('type' in event ? String(event.type) : 'message'),
  frameError: (error) => {
    const { before, after } = frameOf('error')
    return `${before}${JSON.stringify(errorBody(error))}${after}`
  },
  ping: 'event: ping\ndata: {"type":"ping"}\n\n',
  endOfStream: '',
}

function frameOf(name: string): { before: string; after: string } {
  return { before: `event: ${name}\ndata: `, after: '\n\n' }
}

function errorBody({ status, code, param, message }: HttpError, requestId?: string): MessageErrorBody {
  const type = errorTypes[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  // Claude Code shortens its conversation when it reads these words.
  const text = code === 'context_length_exceeded' ? `prompt is too long: ${message}` : message
  const error = { type, message: text, ...(param === 'thread' && { details: noThreads }) }
  return { type: 'error', error, ...(requestId !== undefined && { request_id: requestId }) }
}

/** By this Anthropic's client knows that it has to send whole conversations. */
const noThreads = { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
