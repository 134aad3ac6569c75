import type { CompletionOutput, GenerateRequest, RequestOutput, TurnQueue } from '@octavo/core'
import {
  chatCompletionChunkSchema,
  chatCompletionRequestSchema,
  chatCompletionSchema,
  chatFieldName,
} from '@octavo/sdk/protocol'
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionChunkChoice,
  ChatCompletionRequest,
} from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { untilFinished, whenFinished, wholeSamples } from '../engine-outputs.ts'
import { sendEventStream } from '../event-stream.ts'
import { takeJsonSource } from '../json-body.ts'
import type { JsonSource } from '../json-source.ts'
import type { Generation } from '../open-generation.ts'
import { openGeneration } from '../open-generation.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { InWriting } from '../json-bytes.ts'
import type { ServerContext } from '../server-context.ts'
import { answerMessage, messageDelta, messageFinishReason } from './answer-message.ts'
import { checkChatTemplate } from './check-chat-template.ts'
import { answerRole, chatPrompt, echoedText } from './chat-prompt.ts'
import { openaiDialect } from './dialect.ts'
import { chatLogprobs, promptLogprobs } from './logprobs.ts'
import { commonRequestFields, samplingParams } from './sampling-params.ts'
import { mayHaveGrammar, structuredOutput } from './structured-output.ts'
import { UsageCounter } from './usage.ts'

/** POST /v1/chat/completions */
export function addChatCompletions(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/chat/completions',
    dialect: openaiDialect,
    fieldName: chatFieldName,
    operation: 'chat',
    description: {
      summary: 'An answer to a conversation',
      tag: 'Generation',
      request: chatCompletionRequestSchema,
      answer: chatCompletionSchema,
      event: chatCompletionChunkSchema,
    },
    handler: createChatCompletion,
  }
  addEndpoint(app, server, endpoint)

  async function createChatCompletion(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns, pingMs } = server
    const body = await turns.run(() => parseWire(chatCompletionRequestSchema, request.body))
    checkChatTemplate(body, server)
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'chatcmpl-', wanted })
    const { signal } = generation
    const source = takeJsonSource(request.body)
    const generateRequest = await turns.run(() => chatToGenerateRequest(body, generation, source))
    const outputs = generation.engine.generate(generateRequest, signal)
    const answer = { request: body, frame: generation, turns }
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    if (body.stream !== true)
      return sendJson(reply, chatCompletionAnswer(await whenFinished(outputs), answer), { turns, signal, explain })
    const chunks = chatCompletionChunks(outputs, answer)
    const hasGrammar = mayHaveGrammar(body)
    return sendEventStream(reply, chunks, { dialect: openaiDialect, turns, pingMs, signal, explain, hasGrammar })
  }
}

/** A chat completion → the engine's request. */
export function chatToGenerateRequest(
  request: ChatCompletionRequest,
  context: Pick<Generation, 'engineRequestId' | 'model' | 'cacheSalt'>,
  source?: JsonSource,
): GenerateRequest {
  return {
    ...commonRequestFields(request, context),
    prompt: chatPrompt(request, source),
    params: {
      ...samplingParams(request),
      structuredOutput: structuredOutput(request, source),
      thinkingTokenBudget: request.thinking_token_budget === -1 ? null : (request.thinking_token_budget ?? undefined),
      maxTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
      logprobs: request.logprobs === true ? (request.top_logprobs ?? 0) : null,
    },
    maxTokensMustFit: true,
  }
}

interface AnswerOptions {
  readonly request: ChatCompletionRequest
  /** What is the same in every part of one answer. */
  readonly frame: Pick<Generation, 'id' | 'created' | 'model'>
  readonly turns: TurnQueue
}

/** The engine's parts → the complete answer, with the keys that vLLM has. */
function chatCompletionAnswer(outputs: AsyncIterable<RequestOutput>, answer: AnswerOptions): InWriting<ChatCompletion> {
  const { request, frame, turns } = answer
  const counter = new UsageCounter()
  let last: RequestOutput | null = null
  async function* choices(): AsyncGenerator<ChatCompletionChoice, void, undefined> {
    for await (const { output, completion } of wholeSamples(outputs)) {
      counter.add(0, { ...output, outputs: [completion] })
      last = output
      yield await toChoice(completion, answer)
    }
  }
  // Of the choices, which are written first.
  const lastOutput = (): RequestOutput | null => last
  return {
    id: frame.id,
    object: 'chat.completion',
    created: frame.created,
    model: frame.model,
    choices: choices(),
    service_tier: null,
    system_fingerprint: null,
    usage: () => counter.usage(),
    prompt_logprobs: async () => {
      const tokens = lastOutput()?.promptLogprobs ?? null
      return tokens === null ? null : await promptLogprobs(tokens, turns)
    },
    prompt_token_ids: () => (request.return_token_ids === true ? [...(lastOutput()?.promptTokenIds ?? [])] : null),
    kv_transfer_params: null,
  }
}

async function toChoice(
  completion: CompletionOutput,
  { request, turns }: AnswerOptions,
): Promise<ChatCompletionChoice> {
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const message = answerMessage(completion, request)
  return {
    index: completion.index,
    message,
    logprobs: completion.logprobs === null ? null : await chatLogprobs(completion.logprobs, naming, turns),
    finish_reason: messageFinishReason(completion, { request, hasCalls: (message.tool_calls ?? []).length > 0 }),
    stop_reason: completion.stopReason,
    token_ids: request.return_token_ids === true ? [...completion.tokenIds] : null,
  }
}

/**
 * The engine's deltas → the events of a streamed answer: one chunk per choice with the role, the deltas, and with
 * `include_usage` one without choices. A choice's last chunk has its finish_reason.
 */
async function* chatCompletionChunks(
  outputs: AsyncIterable<RequestOutput>,
  answer: AnswerOptions,
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const { request, frame } = answer
  const counter = new UsageCounter()
  const chunk = (choices: ChatCompletionChunkChoice[], hasUsage: boolean): ChatCompletionChunk => ({
    id: frame.id,
    object: 'chat.completion.chunk',
    created: frame.created,
    model: frame.model,
    choices,
    ...(hasUsage && { usage: counter.usage() }),
  })
  const isContinuous = request.stream_options?.continuous_usage_stats === true
  /** Indices of choices that have made calls. */
  const calling = new Set<number>()
  let isFirst = true
  for await (const output of untilFinished(outputs)) {
    if (isFirst) {
      counter.add(0, { ...output, outputs: [] })
      for (const [index, choice] of openingChoices(request).entries()) {
        const hasPromptIds = index === 0 && request.return_token_ids === true
        yield {
          ...chunk([choice], isContinuous),
          ...(hasPromptIds && { prompt_token_ids: [...output.promptTokenIds] }),
        }
      }
      isFirst = false
    }
    counter.add(0, output)
    for (const completion of output.outputs) {
      const choice = await toChunkChoice(completion, { ...answer, calling })
      if (choice !== null) yield chunk([choice], isContinuous)
    }
  }
  if (request.stream_options?.include_usage === true) yield chunk([], true)
}

function openingChoices(request: ChatCompletionRequest): ChatCompletionChunkChoice[] {
  const role = answerRole(request)
  const echoed = echoedText(request)
  const contents = echoed === '' ? [{ role, content: '' }] : [{ role, content: '' }, { content: echoed }]
  return Array.from({ length: request.n ?? 1 }).flatMap((_, index) =>
    contents.map((delta) => ({ index, delta, logprobs: null, finish_reason: null })),
  )
}

/** `null` where there is nothing to tell: text that may begin a stop string, or a call, is held back by the engine. */
async function toChunkChoice(
  completion: CompletionOutput,
  { request, turns, calling }: AnswerOptions & { readonly calling: Set<number> },
): Promise<ChatCompletionChunkChoice | null> {
  const { index, tokenIds, logprobs, finishReason, stopReason } = completion
  const delta = messageDelta(completion, request)
  if (delta.tool_calls !== undefined) calling.add(index)
  const hasTokenIds = request.return_token_ids === true && tokenIds.length > 0
  const hasLogprobs = logprobs !== null && logprobs.length > 0
  const isEmpty = Object.keys(delta).length === 0
  if (isEmpty && finishReason === null && !hasTokenIds && !hasLogprobs) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const hasCalls = calling.has(index)
  return {
    index,
    // Content after calls is none, not an empty one.
    delta: isEmpty && !hasCalls ? { content: '' } : delta,
    logprobs: hasLogprobs ? await chatLogprobs(logprobs, naming, turns) : null,
    finish_reason: messageFinishReason(completion, { request, hasCalls }),
    ...(finishReason !== null && { stop_reason: stopReason }),
    token_ids: request.return_token_ids === true ? [...tokenIds] : null,
  }
}
