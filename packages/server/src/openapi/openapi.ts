import type { FastifyInstance } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { openaiDialect } from '../openai/dialect.ts'
import type { ServerContext } from '../server-context.ts'
import { openApiDocument } from './openapi-document.ts'

/** GET /openapi.json */
export function addOpenApi(app: FastifyInstance, server: ServerContext): void {
  let document: object | null = null
  addEndpoint(app, server, {
    methods: ['GET'],
    url: '/openapi.json',
    dialect: openaiDialect,
    access: 'anyone',
    description: { summary: 'This description', tag: 'Server' },
    // Made when it is asked for, as endpoints may be added after this one.
    handler: () => (document ??= openApiDocument(server.endpoints, server.version)),
  })
}
