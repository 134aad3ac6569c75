import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { openaiDialect } from '../openai/dialect.ts'
import type { ServerContext } from '../server-context.ts'
import { writeMetrics } from './write-metrics.ts'

/** Who may read the metrics: everyone, as vLLM has it; who shows a key, or the admin key; or nobody. */
export type MetricsAccess = 'open' | 'key' | 'admin' | 'off'

const accessOf = { open: 'anyone', key: 'caller', admin: 'admin' } as const

/** GET /metrics */
export function addMetrics(app: FastifyInstance, server: ServerContext, access: MetricsAccess): void {
  if (access === 'off') return
  addEndpoint(app, server, {
    methods: ['GET'],
    url: '/metrics',
    dialect: openaiDialect,
    access: accessOf[access],
    description: { summary: 'Metrics for Prometheus', tag: 'Server', answerType: 'text/plain' },
    handler: async ({ headers }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const { engine, telemetry } = server
      const { contentType, text } = await writeMetrics({ engine, http: telemetry.http }, headers.accept)
      return reply.header('content-type', contentType).send(text)
    },
  })
}
