import { Readable } from 'node:stream'
import type { TurnQueue } from '@octavo/core'
import type { FastifyReply } from 'fastify'
import { jsonBytes } from './json-bytes.ts'
import { startRawAnswer, writeRaw } from './raw-answer.ts'

/** An answer that is larger goes out while it is written. */
export const maxHeldBytes = 1024 * 1024

const contentType = 'application/json; charset=utf-8'

export interface SendJsonOptions {
  readonly turns: TurnQueue
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  /** Told of a failure in the middle of an answer, of which the client sees only that the connection breaks. */
  readonly explain: (error: unknown) => unknown
}

/** Answers with a body that is written in turns. Up to some size it has a length, and a failure is still an answer; beyond it goes out in chunks, as fast as the client reads. */
export async function sendJson(reply: FastifyReply, body: object, options: SendJsonOptions): Promise<FastifyReply> {
  const pieces = jsonBytes(body, options)
  const held: Buffer[] = []
  let numHeld = 0
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    held.push(next.value)
    numHeld += next.value.length
    if (numHeld > maxHeldBytes) return sendInChunks(reply, { held, pieces }, options)
  }
  reply.type(contentType).header('content-length', numHeld)
  return reply.send(held.length === 1 ? held[0] : Readable.from(held, { objectMode: false }))
}

interface AnswerInChunks {
  readonly held: Buffer[]
  readonly pieces: AsyncIterable<Buffer>
}

async function sendInChunks(
  reply: FastifyReply,
  { held, pieces }: AnswerInChunks,
  { signal, explain }: SendJsonOptions,
): Promise<FastifyReply> {
  startRawAnswer(reply, { 'content-type': contentType })
  try {
    for (const piece of held.splice(0)) await writeRaw(reply, piece, signal)
    for await (const piece of pieces) {
      // Nobody is there any more to make the rest for.
      if (reply.raw.destroyed) return reply
      await writeRaw(reply, piece, signal)
    }
    reply.raw.end()
  } catch (error) {
    if (!reply.raw.destroyed) explain(error)
    // Ended, it would look like an answer.
    reply.raw.destroy()
  }
  return reply
}
