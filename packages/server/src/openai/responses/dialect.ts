import type { Dialect } from '../../dialect.ts'
import type { HttpError } from '../../http-error.ts'
import { openaiDialect } from '../dialect.ts'

/** OpenAI's, where events have names: those of their types. */
export const responsesDialect: Dialect = {
  ...openaiDialect,
  frameOf: (event) => ({ before: `event: ${'type' in event ? String(event.type) : 'error'}\ndata: `, after: '\n\n' }),
  // There was no event before it: a response says its failures itself.
  frameError: (error) => `event: error\ndata: ${JSON.stringify(errorEvent(error, 0))}\n\n`,
}

/** OpenAI documents the fields beside the type, and sends them within `error`; clients read one of the two. */
export function errorEvent({ message, type, param, code }: HttpError, sequenceNumber: number) {
  const fields = { code: String(code), message, param }
  return { type: 'error' as const, sequence_number: sequenceNumber, ...fields, error: { type, ...fields } }
}
