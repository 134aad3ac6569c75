import { OctavoError } from '@octavo/core'
import type { ErrorBody } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'

/** What a failure means on the wire. Anything unexpected becomes a 500 that says nothing of the inside. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  if (OctavoError.isInstance(error)) return fromOctavoError(error)
  return fromFrameworkError(error) ?? internalError()
}

export function toErrorBody({ message, type, param, code }: HttpError): ErrorBody {
  return { error: { message, type, param, code } }
}

function internalError(): HttpError {
  return new HttpError(
    500,
    'Internal server error. The server log has the cause under the X-Request-Id of this answer.',
  )
}

function fromOctavoError(error: OctavoError): HttpError {
  switch (error.code) {
    case 'invalid_request':
      return fromInvalidRequest(error)
    case 'context_length_exceeded':
      return new HttpError(400, error.message, { code: 'context_length_exceeded' })
    case 'chat_template_error':
      return new HttpError(400, error.message, { param: 'messages' })
    case 'model_not_found':
      return new HttpError(404, error.message, { param: 'model' })
    case 'engine_overloaded':
      return new HttpError(503, error.message, { headers: { 'retry-after': '1' } })
    case 'engine_dead':
      return new HttpError(500, 'The engine has failed and cannot serve; see /health and the server log.')
    case 'invalid_logits':
    case 'no_gradient':
    case 'invalid_config':
    case 'unsupported_model':
    case 'checkpoint_error':
    case 'tokenizer_error':
    case 'insufficient_memory':
    case 'backend_unavailable':
    case 'hub_error':
      return internalError()
  }
}

/** The engine names its parameters in camelCase; the client knows the wire's snake_case. */
function fromInvalidRequest(error: OctavoError): HttpError {
  const name = 'param' in error && typeof error.param === 'string' ? error.param : null
  if (name === null) return new HttpError(400, error.message)
  const param = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const message = error.message.startsWith(name) ? `${param}${error.message.slice(name.length)}` : error.message
  return new HttpError(400, message, { param })
}

function fromFrameworkError(error: unknown): HttpError | null {
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return null
  const { code, statusCode: status } = error
  if (typeof status !== 'number' || status < 400 || status >= 500) return null
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new HttpError(400, 'The body must be sent with the header "Content-Type: application/json".')
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new HttpError(400, 'The body is empty; it must be a JSON object.')
    case 'FST_ERR_BAD_URL':
      return new HttpError(400, 'The URL is not valid.')
    default:
      return new HttpError(status, error.message)
  }
}
