import { tokenizedSchema, tokenizeRequestSchema } from '@octavo/sdk/protocol'
import type { Tokenized, TokenizeRequest } from '@octavo/sdk/protocol'
import type { PromptInput } from '@octavo/core'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { takeJsonSource } from '../json-body.ts'
import type { JsonSource } from '../json-source.ts'
import { chatPrompt } from '../openai/chat-prompt.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import { resolveModel } from '../resolve-model.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { tokensFieldName } from './tokens-field-name.ts'

/** POST /tokenize */
export function addTokenize(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/tokenize',
    dialect: openaiDialect,
    fieldName: tokensFieldName,
    description: {
      summary: 'The token ids of a text or a conversation',
      tag: 'Tokens',
      request: tokenizeRequestSchema,
      answer: tokenizedSchema,
    },
    handler: tokenize,
  }
  addEndpoint(app, server, endpoint)

  async function tokenize(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { engine, turns, inFlight } = server
    const body = await turns.run(() => parseWire(tokenizeRequestSchema, request.body))
    checkChatTemplate(body, server)
    const { id: model, maxModelLen } = resolveModel(engine, body.model ?? null)
    if (engine.tokenize === undefined) throw new HttpError(501, 'The engine of this server does not give token ids.')
    const source = takeJsonSource(request.body)
    const signal = inFlight.signalOf(reply.raw)
    const prompt = await turns.run(() => promptOf(body, source), { signal })
    const returnTokens = body.return_token_strs === true
    const { tokenIds, tokens } = await engine.tokenize({ model, prompt, returnTokens }, signal)
    const answer: Tokenized = {
      count: tokenIds.length,
      max_model_len: maxModelLen,
      tokens: tokenIds as number[],
      token_strs: tokens === null ? null : (tokens as string[]),
    }
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    return sendJson(reply, answer, { turns, signal, explain })
  }
}

function promptOf({ prompt, messages, ...fields }: TokenizeRequest, source?: JsonSource): PromptInput {
  if (prompt != null) return { type: 'text', text: prompt, addSpecialTokens: fields.add_special_tokens ?? true }
  return { ...chatPrompt({ ...fields, messages: messages! }, source), parseOutput: false }
}
