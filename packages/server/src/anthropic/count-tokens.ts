import {
  countTokensRequestSchema,
  messageErrorBodySchema,
  messagesFieldName,
  tokenCountSchema,
} from '@octavo/sdk/protocol'
import type { TokenCount } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { takeJsonSource } from '../json-body.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { parseWire } from '../parse-wire.ts'
import { resolveModel } from '../resolve-model.ts'
import type { ServerContext } from '../server-context.ts'
import { anthropicDialect } from './dialect.ts'
import { messagesPrompt } from './messages-prompt.ts'

/** POST /v1/messages/count_tokens */
export function addCountTokens(app: FastifyInstance, server: ServerContext): void {
  addEndpoint(app, server, {
    methods: ['POST'],
    url: '/messages/count_tokens',
    dialect: anthropicDialect,
    fieldName: messagesFieldName,
    description: {
      summary: 'How many tokens the prompt of a message has',
      tag: 'Anthropic',
      request: countTokensRequestSchema,
      answer: tokenCountSchema,
      error: messageErrorBodySchema,
    },
    handler: countTokens,
  })

  async function countTokens(request: FastifyRequest, reply: FastifyReply): Promise<TokenCount> {
    const { engine, inFlight, turns } = server
    const body = await turns.run(() => parseWire(countTokensRequestSchema, request.body))
    checkChatTemplate(body, server)
    const model = resolveModel(engine, body.model).id
    if (engine.tokenize === undefined) throw new HttpError(501, 'The engine of this server does not give token ids.')
    const source = takeJsonSource(request.body)
    const signal = inFlight.signalOf(reply.raw)
    const prompt = await turns.run(() => messagesPrompt(body, source), { signal })
    const { tokenIds } = await engine.tokenize({ model, prompt }, signal)
    return { input_tokens: tokenIds.length }
  }
}
