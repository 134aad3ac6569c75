import { Readable } from 'node:stream'
import type { TurnQueue } from '@octavo/core'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HttpError } from './http-error.ts'
import { scanJson } from './json-scan.ts'
import { JsonSource } from './json-source.ts'
import type { ServerContext } from './server-context.ts'

/**
 * JSON bodies, strictly: bytes that are not UTF-8 and keys that reach for prototypes are refused. Other types are
 * refused by there being no parser, compressed bodies by their header.
 */
export function parseJsonBodies(app: FastifyInstance, { turns }: Pick<ServerContext, 'turns'>): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) =>
    takesBody(request) ? parseJsonBody(body, turns) : null,
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

/** Clients name a type where they send nothing, too. */
function takesBody({ routeOptions }: FastifyRequest): boolean {
  return !('takesBody' in routeOptions.config) || routeOptions.config.takesBody !== false
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

/** In pieces, since bodies can be large, or many at once, and others wait. */
export async function parseJsonBody(bytes: Buffer, turns: TurnQueue): Promise<unknown> {
  if (bytes.length === 0) throw new HttpError(400, 'The body is empty; it must be a JSON object.')
  const turn = { caller: bytes }
  const { seed } = await scanJson(bytes, turns)
  const text = await turns.run(() => decodeUtf8(bytes), turn)
  const body = await turns.run(() => parseJson(text), turn)
  const exact = seed === null ? body : withExactSeed(body, seed)
  if (hasExactParts(exact)) sources.set(exact, text)
  return exact
}

/** The texts of bodies with messages and schemas, which templates and grammars get as they were written. */
const sources = new WeakMap<object, string>()

function hasExactParts(body: unknown): body is object {
  if (typeof body !== 'object' || body === null) return false
  return ['messages', 'tools', 'text', 'response_format', 'structured_outputs'].some((name) => name in body)
}

/** The text that a body was parsed from, once: it can be large, and an answer takes its time. */
export function takeJsonSource(body: unknown): JsonSource | undefined {
  if (!hasExactParts(body)) return undefined
  const text = sources.get(body)
  sources.delete(body)
  return text === undefined ? undefined : new JsonSource(text)
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

/** Seeds have 64 bits, JavaScript's numbers 53: one that has more is taken from the text. */
function withExactSeed(body: unknown, seed: string): unknown {
  if (typeof body !== 'object' || body === null || !('seed' in body) || Number.isSafeInteger(body.seed)) return body
  return { ...body, seed: BigInt(seed) }
}
