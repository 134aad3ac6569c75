import { messageWith, OctavoError } from '@octavo/core'
import { HttpError } from './http-error.ts'

/** What a failure means on the wire; `nameOf` spells core's field names its way. Anything unexpected becomes a 500 that says nothing of the inside. */
export function toHttpError(error: unknown, nameOf: (field: string) => string): HttpError {
  if (error instanceof HttpError) return error
  if (OctavoError.isInstance(error)) return fromOctavoError(error, nameOf)
  return fromFrameworkError(error) ?? internalError()
}

function internalError(): HttpError {
  return new HttpError(
    500,
    'Internal server error. The server log has the cause under the X-Request-Id of this answer.',
  )
}

function fromOctavoError(error: OctavoError, nameOf: (field: string) => string): HttpError {
  const message = messageWith(error, nameOf)
  switch (error.code) {
    case 'invalid_request': {
      const param = 'param' in error && typeof error.param === 'string' ? nameOf(error.param) : null
      return new HttpError(400, message, { param })
    }
    case 'context_length_exceeded':
      return new HttpError(400, message, { code: 'context_length_exceeded' })
    case 'chat_template_error':
      return new HttpError(400, message, { param: nameOf('messages') })
    case 'model_not_found':
      return new HttpError(404, message, { param: nameOf('model') })
    case 'engine_overloaded':
      return new HttpError(503, message, { headers: { 'retry-after': '1' } })
    case 'engine_sleeping':
      return new HttpError(503, message)
    case 'engine_dead':
      return fromDeadEngine(error)
    case 'invalid_logits':
      return new HttpError(500, message)
    case 'no_gradient':
    case 'quantization_error':
    case 'invalid_config':
    case 'unsupported_model':
    case 'checkpoint_error':
    case 'tokenizer_error':
    case 'insufficient_memory':
    case 'backend_unavailable':
    case 'hub_error':
    case 'rank_failed':
    case 'communication_error':
      return internalError()
  }
}

/** What of the cause a client may know: whether it is of use to ask again. */
function fromDeadEngine(error: OctavoError): HttpError {
  const retryAfterMs = 'retryAfterMs' in error && typeof error.retryAfterMs === 'number' ? error.retryAfterMs : null
  if (retryAfterMs === null)
    return new HttpError(500, 'The engine has failed and cannot serve; see /health and the server log.')
  return new HttpError(503, 'The engine has failed and is started again; send the request again.', {
    headers: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) },
  })
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
