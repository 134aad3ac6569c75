import { detokenizedSchema, detokenizeRequestSchema } from '@octavo/sdk/protocol'
import type { Detokenized } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import { resolveModel } from '../resolve-model.ts'
import type { ServerContext } from '../server-context.ts'

/** POST /detokenize */
export function addDetokenize(app: FastifyInstance, server: ServerContext): void {
  addEndpoint(app, server, {
    methods: ['POST'],
    url: '/detokenize',
    dialect: openaiDialect,
    fieldName: (field) => (field === 'prompt' ? 'tokens' : field),
    description: {
      summary: 'The text of token ids',
      tag: 'Tokens',
      request: detokenizeRequestSchema,
      answer: detokenizedSchema,
    },
    handler: detokenize,
  })

  async function detokenize(request: FastifyRequest): Promise<Detokenized> {
    const { engine, turns } = server
    const body = await turns.run(() => parseWire(detokenizeRequestSchema, request.body))
    const { id: model } = resolveModel(engine, body.model ?? null)
    if (engine.detokenizeInTurns === undefined)
      throw new HttpError(501, 'The engine of this server does not give the text of token ids.')
    return { prompt: await engine.detokenizeInTurns(body.tokens, model) }
  }
}
