import {
  resetPrefixCacheQuerySchema,
  sleepQuerySchema,
  sleepStateSchema,
  wakeUpQuerySchema,
} from '@octavo/sdk/protocol'
import type { SleepState } from '@octavo/sdk/protocol'
import type { SleepOptions } from '@octavo/core'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint, type Endpoint } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import type { ServerContext } from '../server-context.ts'

const levels: Readonly<Record<string, SleepOptions['level']>> = { 0: 0, 1: 1, 2: 2 }

/** POST /sleep and /wake_up, GET /is_sleeping, POST /reset_prefix_cache: for operators. */
export function addSleep(app: FastifyInstance, server: ServerContext): void {
  const { engine } = server
  const add = (endpoint: Pick<Endpoint, 'methods' | 'url' | 'description' | 'handler'>): void =>
    addEndpoint(app, server, { ...endpoint, dialect: openaiDialect, access: 'admin', takesBody: false })
  add({
    methods: ['POST'],
    url: '/sleep',
    description: { summary: 'Stops the engine and gives memory back', tag, query: sleepQuerySchema },
    handler: sleep,
  })
  add({
    methods: ['POST'],
    url: '/wake_up',
    description: { summary: 'Has the engine serve again', tag, query: wakeUpQuerySchema },
    handler: wakeUp,
  })
  add({
    methods: ['GET'],
    url: '/is_sleeping',
    description: { summary: 'Whether the engine sleeps', tag, answer: sleepStateSchema },
    handler: (): SleepState => ({ is_sleeping: engine.isSleeping ?? false }),
  })
  add({
    methods: ['POST'],
    url: '/reset_prefix_cache',
    description: { summary: 'Empties the prefix cache', tag, query: resetPrefixCacheQuerySchema },
    handler: resetPrefixCache,
  })

  async function sleep(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { level = '1', mode = 'abort' } = parseWire(sleepQuerySchema, request.query)
    if (engine.sleep === undefined) throw new HttpError(501, 'The engine of this server cannot sleep.')
    await engine.sleep({ level: levels[level]!, mode })
    return reply.code(200).send()
  }

  async function wakeUp(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    parseWire(wakeUpQuerySchema, request.query)
    if (engine.wakeUp === undefined) throw new HttpError(501, 'The engine of this server cannot sleep.')
    await engine.wakeUp()
    return reply.code(200).send()
  }

  async function resetPrefixCache(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    parseWire(resetPrefixCacheQuerySchema, request.query)
    if (engine.resetPrefixCache === undefined)
      throw new HttpError(501, 'The engine of this server has no prefix cache that can be emptied.')
    await engine.resetPrefixCache()
    return reply.code(200).send()
  }
}

const tag = 'Operation'
