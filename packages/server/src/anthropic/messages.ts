import type { GenerateRequest, RequestOutput, ServedModel, StructuredOutput } from '@octavo/core'
import {
  messageErrorBodySchema,
  messageEventSchema,
  messageSchema,
  messagesFieldName,
  messagesRequestSchema,
} from '@octavo/sdk/protocol'
import type { Message, MessagesRequest } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { whenFinished, wholeSamples } from '../engine-outputs.ts'
import { sendEventStream } from '../event-stream.ts'
import { HttpError } from '../http-error.ts'
import { takeJsonSource } from '../json-body.ts'
import type { JsonSource } from '../json-source.ts'
import type { Generation } from '../open-generation.ts'
import { openGeneration } from '../open-generation.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { commonRequestFields, samplingParams } from '../openai/sampling-params.ts'
import { structuredOutput } from '../openai/structured-output.ts'
import { UsageCounter } from '../openai/usage.ts'
import { parseWire } from '../parse-wire.ts'
import { resolveModel } from '../resolve-model.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { anthropicDialect } from './dialect.ts'
import type { MessageOptions } from './message-answer.ts'
import { wholeMessage } from './message-answer.ts'
import { messageEvents } from './message-events.ts'
import { messagesPrompt } from './messages-prompt.ts'

/** POST /v1/messages */
export function addMessages(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/messages',
    operation: 'chat',
    dialect: anthropicDialect,
    fieldName: messagesFieldName,
    description: {
      summary: 'Continue a conversation, as Anthropic’s Messages API does',
      tag: 'Anthropic',
      request: messagesRequestSchema,
      answer: messageSchema,
      event: messageEventSchema,
      error: messageErrorBodySchema,
    },
    handler: createMessage,
  }
  addEndpoint(app, server, endpoint)

  async function createMessage(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns, pingMs } = server
    const body = await turns.run(() => parseWire(messagesRequestSchema, request.body))
    checkChatTemplate(body, server)
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'msg_', wanted })
    const { signal } = generation
    const model = resolveModel(server.engine, body.model)
    const source = takeJsonSource(request.body)
    const generateRequest = await turns.run(() =>
      messageToGenerateRequest(body, { ...generation, served: model }, source),
    )
    const outputs = generation.engine.generate(generateRequest, signal)
    const answer = { request: body, frame: generation }
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    if (body.stream !== true)
      return sendJson(reply, await messageAnswer(await whenFinished(outputs), answer), { turns, signal, explain })
    const events = messageEvents(outputs, answer)
    const hasGrammar = mayHaveGrammar(body)
    return sendEventStream(reply, events, { dialect: anthropicDialect, turns, pingMs, signal, explain, hasGrammar })
  }
}

interface RequestContext extends Pick<Generation, 'engineRequestId' | 'model' | 'cacheSalt'> {
  readonly served: ServedModel
}

/** A request for a message → the engine's. */
export function messageToGenerateRequest(
  request: MessagesRequest,
  context: RequestContext,
  source?: JsonSource,
): GenerateRequest {
  return {
    ...commonRequestFields(request, context),
    prompt: messagesPrompt(request, source),
    params: {
      ...samplingParams({ ...request, stop: request.stop_sequences }),
      structuredOutput: outputFormat(request, source),
      thinkingTokenBudget: thinkingBudget(request, context.served),
      maxTokens: request.max_tokens,
    },
    // Clients ask for as much as the largest of Anthropic's models can write; the answer says where the context ended it.
    maxTokensMustFit: false,
  }
}

/** A model that marks no thinking keeps to any budget, for all that can be told. */
function thinkingBudget({ thinking }: MessagesRequest, model: ServedModel): number | undefined {
  if (model.marksThinking !== true || thinking == null) return undefined
  if (thinking.type === 'disabled') return 0
  return thinking.type === 'enabled' ? thinking.budget_tokens : undefined
}

function outputFormat(request: MessagesRequest, source: JsonSource | undefined): StructuredOutput | undefined {
  const format = request.output_config?.format ?? request.output_format
  if (format == null) return structuredOutput({ structured_outputs: request.structured_outputs }, source)
  const place =
    request.output_config?.format == null
      ? source?.member('output_format')
      : source?.member('output_config')?.member('format')
  return { type: 'json', schema: place?.member('schema')?.text ?? format.schema }
}

function mayHaveGrammar(request: MessagesRequest): boolean {
  const { tools, tool_choice: choice } = request
  if (outputFormat(request, undefined) !== undefined) return true
  if (tools == null || choice?.type === 'none') return false
  return (choice != null && choice.type !== 'auto') || tools.some(({ strict }) => strict === true)
}

async function messageAnswer(outputs: AsyncIterable<RequestOutput>, options: MessageOptions): Promise<Message> {
  const counter = new UsageCounter()
  for await (const { output, completion } of wholeSamples(outputs)) {
    counter.add(0, { ...output, outputs: [completion] })
    return wholeMessage(completion, counter.usage(), options)
  }
  throw new HttpError(500, 'The engine ended this request before it was finished.')
}
