import type { ErrorBody } from '@octavo/sdk/protocol'
import type { Dialect } from '../dialect.ts'
import type { HttpError } from '../http-error.ts'

const frame = { before: 'data: ', after: '\n\n' }

/** OpenAI's, as vLLM speaks it. */
export const openaiDialect: Dialect = {
  errorBody,
  frameOf: () => frame,
  frameError: (error) => `${frame.before}${JSON.stringify(errorBody(error))}${frame.after}`,
  // A comment, of which no client hears.
  ping: ': ping\n\n',
  endOfStream: 'data: [DONE]\n\n',
}

function errorBody({ message, type, param, code }: HttpError): ErrorBody {
  return { error: { message, type, param, code } }
}
