import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HttpError } from './http-error.ts'

/**
 * JSON bodies, strictly: bytes that are not UTF-8 and keys that reach for prototypes are refused. Other types are
 * refused by there being no parser, compressed bodies by their header.
 */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJsonBody(body),
  )
  app.addHook('preParsing', async (request, _reply, payload) => {
    const read = bodyReadBefore(request)
    if (read !== null) return read
    const encoding = request.headers['content-encoding'] ?? 'identity'
    if (encoding.toLowerCase() !== 'identity') {
      throw new HttpError(415, `Compressed bodies (Content-Encoding: ${encoding}) are not supported; send it plain.`, {
        headers: { 'accept-encoding': 'identity' },
      })
    }
    return payload
  })
}

/** Middleware such as `express.json()` leaves nothing to read, but the result: written out again it goes the same way as any body. */
function bodyReadBefore({ raw, headers }: FastifyRequest): Readable | null {
  if (!raw.readableEnded || !('body' in raw)) return null
  const { body } = raw
  if (body === undefined)
    throw new HttpError(500, 'Something before this server read the body and did not keep it as request.body.')
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  // The framework compares with the header what was received, which may have been compressed.
  return Object.assign(Readable.from([bytes]), { receivedEncodedLength: Number(headers['content-length'] ?? 0) })
}

export function parseJsonBody(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new HttpError(400, 'The body is empty; it must be a JSON object.')
  const text = decodeUtf8(bytes)
  const body = parseJson(text)
  if (mayHavePrototypeKey.test(text) && hasPrototypeKey(body))
    throw new HttpError(400, 'The body has an object with the key "__proto__", which is not allowed.')
  return mayHaveLargeSeed.test(text) ? withExactSeed(body, text) : body
}

function decodeUtf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw new HttpError(400, 'The body is not valid UTF-8.')
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new HttpError(400, `The body is not valid JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** A cheap look first. Letters of the key may hide behind escapes, which no serializer writes for ASCII letters. */
const mayHavePrototypeKey = /__proto__|\\u00[567]/i

/** A reviver would do the same in fifty times the time. */
function hasPrototypeKey(root: unknown): boolean {
  const rest: unknown[] = [root]
  while (rest.length > 0) {
    const value = rest.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Object.hasOwn(value, '__proto__')) return true
    for (const child of Array.isArray(value) ? value : Object.values(value)) {
      if (typeof child === 'object' && child !== null) rest.push(child)
    }
  }
  return false
}

/** Seeds have 64 bits, JavaScript's numbers 53: one with more digits than these is taken from the text. */
const mayHaveLargeSeed = /"seed"\s*:\s*-?\d{16,19}\b/

function withExactSeed(body: unknown, text: string): unknown {
  if (typeof body !== 'object' || body === null || !('seed' in body) || Number.isSafeInteger(body.seed)) return body
  const digits = topLevelValue(text, 'seed')
  return digits !== null && /^-?\d+$/.test(digits) ? { ...body, seed: BigInt(digits) } : body
}

/** The text of a scalar in the outermost object of valid JSON; of several under one key, the last, as `JSON.parse` has it. */
function topLevelValue(text: string, key: string): string | null {
  let value: string | null = null
  let depth = 0
  const quoted = JSON.stringify(key)
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') depth--
    else if (char === '"') {
      const end = endOfString(text, at)
      const scalar = /\s*:\s*([^\s",:{}[\]]+)/y
      scalar.lastIndex = end
      if (depth === 1 && text.slice(at, end) === quoted) value = scalar.exec(text)?.[1] ?? value
      at = end - 1
    }
  }
  return value
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}
