import { scoreFieldName, scoreListSchema, scoreRequestSchema, scoreSidesOf } from '@octavo/sdk/protocol'
import type { ScoreList } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { openPooling } from './open-pooling.ts'
import { scorePairs } from './score-pairs.ts'

/** POST /score, and the same under /v1. */
export function addScore(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/score',
    operation: 'score',
    dialect: openaiDialect,
    fieldName: scoreFieldName,
    description: {
      summary: 'How well texts go with each other, or with one',
      tag: 'Pooling',
      request: scoreRequestSchema,
      answer: scoreListSchema,
    },
    handler: score,
  }
  addEndpoint(app, server, endpoint)

  async function score(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns } = server
    const body = await turns.run(() => parseWire(scoreRequestSchema, request.body))
    const pooling = openPooling(server, { request, reply, idPrefix: 'score-', body, tasks: ['classify', 'embed'] })
    const [first, second] = scoreSidesOf(body).map((side) => listOf(body[side]))
    const { scores, usage } = await scorePairs(first!, second!, { body, pooling, turns })
    const { id, created, model, signal } = pooling
    const data = scores.map((one, index) => ({ index, object: 'score' as const, score: one }))
    const answer: ScoreList = { id, object: 'list', created, model, data, usage: usage.usage() }
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    return sendJson(reply, answer, { turns, signal, explain })
  }
}

function listOf(texts: string | readonly string[] | null | undefined): readonly string[] {
  return typeof texts === 'string' ? [texts] : (texts ?? [])
}
