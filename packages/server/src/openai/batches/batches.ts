import { batchListSchema, batchQuerySchema, batchRequestSchema, batchSchema } from '@octavo/sdk/protocol'
import type { Batch, BatchList } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint } from '../../endpoint.ts'
import { parseWire } from '../../parse-wire.ts'
import type { ServerContext } from '../../server-context.ts'
import { openaiDialect } from '../dialect.ts'
import type { Batches } from './batches-of-server.ts'
import { idIn } from './id-in.ts'
import { listPage } from './list-page.ts'

/** /v1/batches: many requests from a file, whose answers go into another. */
export function addBatches(app: FastifyInstance, server: ServerContext, batches: Batches): void {
  const common = { dialect: openaiDialect }
  const tag = 'Batches'
  addEndpoint(app, server, {
    ...common,
    methods: ['GET', 'POST'],
    url: '/batches',
    description: {
      GET: { summary: 'The batches there are', tag, query: batchQuerySchema, answer: batchListSchema },
      POST: { summary: 'Run the requests of a file', tag, request: batchRequestSchema, answer: batchSchema },
    },
    handler: (request, reply) => (request.method === 'POST' ? create(request, reply) : list(request, reply)),
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['GET'],
    url: '/batches/:id',
    description: { summary: 'How far a batch is', tag, answer: batchSchema },
    handler: one,
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['POST'],
    url: '/batches/:id/cancel',
    takesBody: false,
    description: { summary: 'End a batch early', tag, answer: batchSchema },
    handler: cancel,
  })

  const tenantOf = ({ raw }: FastifyReply): string | null => server.inFlight.callerOf(raw).tenant

  async function create(request: FastifyRequest, reply: FastifyReply): Promise<Batch> {
    const body = await server.turns.run(() => parseWire(batchRequestSchema, request.body))
    const { runner } = await batches.open()
    return runner.create(server.inFlight.callerOf(reply.raw), body)
  }

  async function list(request: FastifyRequest, reply: FastifyReply): Promise<BatchList> {
    const { after, limit = 20 } = parseWire(batchQuerySchema, request.query)
    const { runner } = await batches.open()
    return listPage(runner.list(tenantOf(reply)), { after, limit })
  }

  async function one(request: FastifyRequest, reply: FastifyReply): Promise<Batch> {
    const { runner } = await batches.open()
    return runner.get(tenantOf(reply), idIn(request))
  }

  async function cancel(request: FastifyRequest, reply: FastifyReply): Promise<Batch> {
    const { runner } = await batches.open()
    return runner.cancel(tenantOf(reply), idIn(request))
  }
}
