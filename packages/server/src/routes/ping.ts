import type { FastifyInstance } from 'fastify'
import { addRoute } from '../add-route.ts'
import type { ServerContext } from '../server-context.ts'
import { answerHealth } from './health.ts'

/** /health under the name that SageMaker asks for. */
export function addPingRoute(app: FastifyInstance, context: ServerContext): void {
  addRoute(app, { methods: ['GET', 'POST'], url: '/ping', handler: (_request, reply) => answerHealth(reply, context) })
}
