import type { EngineClient, GenerateRequest } from '@octavo/core'
import {
  chatCompletionRequestSchema,
  chatFieldName,
  completionFieldName,
  completionRequestSchema,
  renderedRequestListSchema,
  renderedRequestSchema,
} from '@octavo/sdk/protocol'
import type { WireRenderedRequest } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { takeJsonSource } from '../json-body.ts'
import { chatToGenerateRequest } from '../openai/chat-completions.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { completionToGenerateRequests } from '../openai/completions.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { openGeneration } from '../open-generation.ts'
import { parseWire } from '../parse-wire.ts'
import type { ServerContext } from '../server-context.ts'
import { wireRenderedRequest } from './rendered-request.ts'

/** POST /v1/chat/completions/render and /v1/completions/render: template and tokens, for routers that ask before they choose where a request runs. */
export function addRender(app: FastifyInstance, server: ServerContext): void {
  const { turns, engine } = server
  const common = { methods: ['POST'], dialect: openaiDialect } as const
  addEndpoint(app, server, {
    ...common,
    url: '/chat/completions/render',
    fieldName: chatFieldName,
    description: {
      summary: 'What a chat completion comes to before anything runs',
      tag: 'Tokens',
      request: chatCompletionRequestSchema,
      answer: renderedRequestSchema,
    },
    handler: renderChatCompletion,
  })
  addEndpoint(app, server, {
    ...common,
    url: '/completions/render',
    fieldName: completionFieldName,
    description: {
      summary: 'What a completion comes to before anything runs, prompt by prompt',
      tag: 'Tokens',
      request: completionRequestSchema,
      answer: renderedRequestListSchema,
    },
    handler: renderCompletion,
  })

  async function renderChatCompletion(request: FastifyRequest, reply: FastifyReply): Promise<WireRenderedRequest> {
    const body = await turns.run(() => parseWire(chatCompletionRequestSchema, request.body))
    checkChatTemplate(body, server)
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'chatcmpl-', wanted })
    const source = takeJsonSource(request.body)
    const generateRequest = await turns.run(() => chatToGenerateRequest(body, generation, source))
    return wireRenderedRequest(await renderOf(engine)(generateRequest, generation.signal), body, generation)
  }

  async function renderCompletion(request: FastifyRequest, reply: FastifyReply): Promise<WireRenderedRequest[]> {
    const body = await turns.run(() => parseWire(completionRequestSchema, request.body))
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'cmpl-', wanted })
    const { id, model, signal } = generation
    const requests = completionToGenerateRequests(body, generation, takeJsonSource(request.body))
    const render = renderOf(engine)
    const rendered: WireRenderedRequest[] = []
    for (const [index, one] of requests.entries()) {
      const name = requests.length === 1 ? id : `${id}-${index}`
      rendered.push(wireRenderedRequest(await render(one, signal), body, { id: name, model }))
    }
    return rendered
  }
}

function renderOf(engine: Pick<EngineClient, 'render'>): NonNullable<EngineClient['render']> {
  if (engine.render === undefined) throw new HttpError(501, 'The engine of this server does not render requests.')
  return (request: GenerateRequest, signal?: AbortSignal) => engine.render!(request, signal)
}
