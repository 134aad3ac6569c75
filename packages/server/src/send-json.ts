import type { TurnQueue } from '@octavo/core'
import type { FastifyReply } from 'fastify'
import { stringifyInTurns } from './stringify-in-turns.ts'

/** Answers with a body that may be large. */
export async function sendJson(reply: FastifyReply, body: object, turns: TurnQueue): Promise<FastifyReply> {
  return reply.type('application/json; charset=utf-8').send(await stringifyInTurns(body, turns))
}
