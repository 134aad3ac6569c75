import { textSchema } from '@octavo/sdk/protocol'
import type { FastifyInstance } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { openaiDialect } from '../openai/dialect.ts'
import type { ServerContext } from '../server-context.ts'
import { docsPage, docsPageHeaders } from './docs-page.ts'
import { type OpenApiDocument, openApiDocument } from './openapi-document.ts'

/** GET /openapi.json, and /docs, a page for people made of it. */
export function addOpenApi(app: FastifyInstance, server: ServerContext): void {
  let made: OpenApiDocument | null = null
  // When it is asked for, as endpoints may be added after these.
  const document = (): OpenApiDocument => (made ??= openApiDocument(server.endpoints, server.version))
  addEndpoint(app, server, {
    methods: ['GET'],
    url: '/openapi.json',
    dialect: openaiDialect,
    access: 'anyone',
    description: { summary: 'This description', tag: 'Server' },
    handler: document,
  })
  addEndpoint(app, server, {
    methods: ['GET'],
    url: '/docs',
    dialect: openaiDialect,
    access: 'anyone',
    description: { summary: 'The same for people', tag: 'Server', answer: textSchema, answerType: 'text/html' },
    handler: (_request, reply) => {
      reply.headers(docsPageHeaders).type('text/html; charset=utf-8')
      return reply.send(docsPage(document()))
    },
  })
}
