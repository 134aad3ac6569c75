import type { ErrorBody } from '@octavo/sdk/protocol'
import type { Dialect } from '../dialect.ts'
import type { HttpError } from '../http-error.ts'

/** OpenAI's, as vLLM speaks it. */
export const openaiDialect: Dialect = {
  errorBody,
  frameEvent,
  frameError: (error) => frameEvent(errorBody(error)),
  endOfStream: 'data: [DONE]\n\n',
}

function errorBody({ message, type, param, code }: HttpError): ErrorBody {
  return { error: { message, type, param, code } }
}

function frameEvent(event: unknown): string {
  return `data: ${JSON.stringify(event)}\n\n`
}
