import type { FastifyInstance } from 'fastify'
import { HttpError } from './http-error.ts'

/** JSON bodies, strictly: bytes that are not UTF-8 and keys that reach for prototypes are refused. Other types are refused by there being no parser. */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJsonBody(body),
  )
}

function parseJsonBody(body: Buffer): unknown {
  if (body.length === 0) throw new HttpError(400, 'The body is empty; it must be a JSON object.')
  const text = decodeUtf8(body)
  try {
    return JSON.parse(text, mayHavePrototypeKey.test(text) ? refusePrototypeKey : undefined)
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError(400, `The body is not valid JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function decodeUtf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw new HttpError(400, 'The body is not valid UTF-8.')
  }
}

/** A cheap look first, as the reviver costs a call per value. Letters of the key may hide behind escapes, which no serializer writes for ASCII letters. */
const mayHavePrototypeKey = /__proto__|\\u00[567]/i

function refusePrototypeKey(key: string, value: unknown): unknown {
  if (key === '__proto__')
    throw new HttpError(400, 'The body has an object with the key "__proto__", which is not allowed.')
  return value
}
