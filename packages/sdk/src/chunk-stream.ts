import type { z } from 'zod'
import { readEventData } from './event-stream.ts'
import type { Answer } from './http-transport.ts'
import { parseJson } from './http-transport.ts'
import { OctavoApiError } from './octavo-api-error.ts'
import { OctavoConnectionError } from './octavo-connection-error.ts'
import { parseAnswer } from './parse-answer.ts'
import { errorBodySchema } from './protocol/error-body.ts'

/**
 * The chunks of a streamed answer. Leaving the loop, or the caller's signal, closes the connection, which aborts the request.
 * @throws OctavoApiError where the server reports an error inside the stream; OctavoConnectionError where it breaks off
 */
export async function* readChunks<T>(
  { response, exchange }: Answer,
  schema: z.ZodType<T>,
): AsyncGenerator<T, void, undefined> {
  exchange.stopTimer()
  try {
    if (response.body === null) throw new OctavoConnectionError('The answer has no body: it is not a stream.')
    for await (const data of readEventData(response.body)) {
      if (data === '[DONE]') return
      yield parseChunk(data, response, schema)
    }
    throw new OctavoConnectionError('The stream ended before its [DONE]: the answer is incomplete.')
  } catch (error) {
    const isOurs = OctavoApiError.isInstance(error) || OctavoConnectionError.isInstance(error)
    throw isOurs ? error : exchange.explain(error)
  } finally {
    exchange.close()
  }
}

function parseChunk<T>(data: string, response: Response, schema: z.ZodType<T>): T {
  const json = parseJson(data, response)
  const failure = errorBodySchema.safeParse(json)
  if (!failure.success) return parseAnswer(schema, json, response.status)
  const { error } = failure.data
  const status = typeof error.code === 'number' ? error.code : null
  throw new OctavoApiError({ ...error, status, requestId: response.headers.get('x-request-id') })
}
