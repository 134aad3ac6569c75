import type { ServerVersion } from '@octavo/sdk/protocol'
import type { FastifyInstance } from 'fastify'
import { addRoute } from '../add-route.ts'
import type { ServerContext } from '../server-context.ts'

export function addVersionRoute(app: FastifyInstance, { version }: ServerContext): void {
  addRoute(app, { methods: ['GET'], url: '/version', handler: (): ServerVersion => ({ version }) })
}
