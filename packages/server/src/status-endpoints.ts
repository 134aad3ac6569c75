import { serverLoadSchema, serverVersionSchema } from '@octavo/sdk/protocol'
import type { ServerLoad, ServerVersion } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint, type Endpoint } from './endpoint.ts'
import { HttpError } from './http-error.ts'
import { openaiDialect } from './openai/dialect.ts'
import type { ServerContext } from './server-context.ts'
import { toHttpError } from './to-http-error.ts'

const tag = 'Server'
const healthSummary = '200 and no body while the engine can serve'
const readySummary = '200 and no body while the server asks for requests'
const pingSummary = 'The same, as SageMaker asks'

/** What is asked about the server itself, of no dialect's own. /ping is /health under the name that SageMaker asks for. */
export function addStatusEndpoints(app: FastifyInstance, server: ServerContext): void {
  const common = { dialect: openaiDialect, access: 'anyone', takesBody: false } as const
  const health = (_request: FastifyRequest, reply: FastifyReply) => answerHealth(reply, server)
  const ready = (_request: FastifyRequest, reply: FastifyReply) => answerReady(reply, server)
  const version = (): ServerVersion => ({ version: server.version })
  const add = (endpoint: Pick<Endpoint, 'methods' | 'url' | 'description' | 'handler'>): void =>
    addEndpoint(app, server, { ...common, ...endpoint })
  add({ methods: ['GET'], url: '/health', description: { summary: healthSummary, tag }, handler: health })
  add({ methods: ['GET', 'POST'], url: '/ping', description: { summary: pingSummary, tag }, handler: health })
  add({ methods: ['GET'], url: '/ready', description: { summary: readySummary, tag }, handler: ready })
  const load = (): ServerLoad => ({ server_load: server.inFlight.numOfModels })
  addEndpoint(app, server, {
    dialect: openaiDialect,
    methods: ['GET'],
    url: '/load',
    description: { summary: 'How many requests to models are being answered', tag, answer: serverLoadSchema },
    handler: load,
  })
  const described = { summary: 'The version of the server', tag, answer: serverVersionSchema }
  add({ methods: ['GET'], url: '/version', description: described, handler: version })
}

/** As health; 503 as soon as the server knows that it will end, though it still takes requests. */
async function answerReady(reply: FastifyReply, server: ServerContext): Promise<FastifyReply> {
  if (server.inFlight.isLeaving) throw new HttpError(503, 'The server is about to shut down.')
  return await answerHealth(reply, server)
}

/** 200 and nothing else while the engine can serve; 503 when it cannot or the server is about to go. */
async function answerHealth(reply: FastifyReply, { engine, inFlight }: ServerContext): Promise<FastifyReply> {
  if (inFlight.isDraining) throw new HttpError(503, 'The server is shutting down.')
  try {
    await engine.checkHealth()
  } catch (error) {
    const isRestarting = toHttpError(error, (field) => field).status === 503
    const state = isRestarting ? 'The engine has failed and is started again' : 'The engine cannot serve'
    throw new HttpError(503, `${state}; the server log has the cause.`)
  }
  return reply.code(200).send()
}
