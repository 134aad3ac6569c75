import { Readable } from 'node:stream'
import type { TurnQueue } from '@octavo/core'
import type { FastifyReply } from 'fastify'
import { writeJson } from './write-json.ts'

/** Answers with a body that may be large: it is written in turns, and goes out in the pieces in which it was. */
export async function sendJson(reply: FastifyReply, body: object, turns: TurnQueue): Promise<FastifyReply> {
  const pieces = await writeJson(body, turns)
  const length = pieces.reduce((total, piece) => total + piece.length, 0)
  reply.type('application/json; charset=utf-8').header('content-length', length)
  return reply.send(pieces.length === 1 ? pieces[0] : Readable.from(pieces, { objectMode: false }))
}
