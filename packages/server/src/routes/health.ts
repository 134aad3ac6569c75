import type { FastifyInstance, FastifyReply } from 'fastify'
import { addRoute } from '../add-route.ts'
import { HttpError } from '../http-error.ts'
import type { ServerContext } from '../server-context.ts'

/** 200 and nothing else while the engine can serve; 503 when it cannot or the server is about to go. */
export function addHealthRoute(app: FastifyInstance, context: ServerContext): void {
  addRoute(app, { methods: ['GET'], url: '/health', handler: (_request, reply) => answerHealth(reply, context) })
}

export async function answerHealth(reply: FastifyReply, { engine, inFlight }: ServerContext): Promise<FastifyReply> {
  if (inFlight.isDraining) throw new HttpError(503, 'The server is shutting down.')
  try {
    await engine.checkHealth()
  } catch {
    throw new HttpError(503, 'The engine cannot serve; the server log has the cause.')
  }
  return reply.code(200).send()
}
