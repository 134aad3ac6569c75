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
import { addEndpoint, type Endpoint, explainFailure } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { takeJsonSource } from '../json-body.ts'
import { chatToGenerateRequest } from '../openai/chat-completions.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { completionToGenerateRequests } from '../openai/completions.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { openGeneration } from '../open-generation.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { wireRenderedRequest } from './rendered-request.ts'

/** POST /v1/chat/completions/render and /v1/completions/render: template and tokens, for routers that ask before they choose where a request runs. */
export function addRender(app: FastifyInstance, server: ServerContext): void {
  const { turns, engine } = server
  const common = { methods: ['POST'], dialect: openaiDialect } as const
  const chat: Endpoint = {
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
  }
  const completions: Endpoint = {
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
  }
  addEndpoint(app, server, chat)
  addEndpoint(app, server, completions)

  async function renderChatCompletion(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const body = await turns.run(() => parseWire(chatCompletionRequestSchema, request.body))
    checkChatTemplate(body, server)
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'chatcmpl-', wanted })
    const { signal } = generation
    const source = takeJsonSource(request.body)
    const generateRequest = await turns.run(() => chatToGenerateRequest(body, generation, source))
    const rendered = wireRenderedRequest(await renderOf(engine)(generateRequest, signal), body, generation)
    return sendJson(reply, rendered, { turns, signal, explain: explainOf(chat, request, reply) })
  }

  async function renderCompletion(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
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
      if (index === 0) checkRepeated(rendered[0]!, requests.length)
    }
    const explain = explainOf(completions, request, reply)
    return sendJson(reply, eachOf(rendered), { turns, signal, explain })
  }

  function explainOf(endpoint: Endpoint, request: FastifyRequest, reply: FastifyReply) {
    return (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
  }
}

/** In characters. */
const maxRepeated = 64 * 1024 * 1024

/** Every prompt has the sampling parameters, and a constraint can be large. @throws HttpError 400 */
function checkRepeated({ sampling_params: params }: WireRenderedRequest, numPrompts: number): void {
  const length = JSON.stringify(params).length
  if (numPrompts === 1 || length * numPrompts <= maxRepeated) return
  const most = Math.max(1, Math.floor(maxRepeated / length))
  const message = `prompt: has ${numPrompts} prompts, and the answer would repeat ${length} characters of sampling parameters for each; send at most ${most} at once.`
  throw new HttpError(400, message, { param: 'prompt' })
}

async function* eachOf<Entry>(list: readonly Entry[]): AsyncGenerator<Entry, void, undefined> {
  yield* list
}

function renderOf(engine: Pick<EngineClient, 'render'>): NonNullable<EngineClient['render']> {
  if (engine.render === undefined) throw new HttpError(501, 'The engine of this server does not render requests.')
  return (request: GenerateRequest, signal?: AbortSignal) => engine.render!(request, signal)
}
