import type { CompletionOutput, GenerateRequest, PromptInput, RequestOutput, TurnQueue } from '@octavo/core'
import {
  completionChunkSchema,
  completionFieldName,
  completionRequestSchema,
  completionSchema,
} from '@octavo/sdk/protocol'
import type {
  Completion,
  CompletionChoice,
  CompletionChunk,
  CompletionRequest,
  Prompt,
  WirePromptLogprobs,
} from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { untilFinished, whenFinished, wholeSamples } from '../engine-outputs.ts'
import { sendEventStream } from '../event-stream.ts'
import { takeJsonSource } from '../json-body.ts'
import type { JsonSource } from '../json-source.ts'
import { generateInTurns } from '../generate-in-turns.ts'
import { mergeAsync } from '../merge-async.ts'
import type { Generation } from '../open-generation.ts'
import { openGeneration } from '../open-generation.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { InWriting } from '../json-bytes.ts'
import type { ServerContext } from '../server-context.ts'
import {
  completionChoice,
  echoPrompt,
  wantsPromptOnly,
  type Detokenize,
  type EchoedPrompt,
} from './completion-choice.ts'
import { openaiDialect } from './dialect.ts'
import { promptLogprobs } from './logprobs.ts'
import { commonRequestFields, samplingParams } from './sampling-params.ts'
import { structuredOutput } from './structured-output.ts'
import { UsageCounter } from './usage.ts'

const defaultMaxTokens = 16

/** POST /v1/completions */
export function addCompletions(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/completions',
    dialect: openaiDialect,
    fieldName: completionFieldName,
    operation: 'text_completion',
    description: {
      summary: 'A continuation of each prompt',
      tag: 'Generation',
      request: completionRequestSchema,
      answer: completionSchema,
      event: completionChunkSchema,
    },
    handler: createCompletion,
  }
  addEndpoint(app, server, endpoint)

  async function createCompletion(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { engine, turns, pingMs } = server
    const body = await turns.run(() => parseWire(completionRequestSchema, request.body))
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'cmpl-', wanted })
    const requests = completionToGenerateRequests(body, generation, takeJsonSource(request.body))
    const detokenize: Detokenize | null =
      engine.detokenize === undefined ? null : (ids) => engine.detokenize!(ids, generation.model)
    const answer = { request: body, frame: generation, detokenize, turns }
    // The prompts live and die together: when one fails, or the answer ends early, the others are stopped.
    const group = new AbortController()
    const signal = AbortSignal.any([generation.signal, group.signal])
    try {
      const streams = generateInTurns(requests, {
        turns,
        signal,
        generate: (one) => generation.engine.generate(one, signal),
      })
      const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
      const sending = { turns, signal: generation.signal, explain }
      if (body.stream !== true) {
        const prompts = await Promise.all(streams.map(whenFinished))
        return await sendJson(reply, completionAnswer(prompts, answer), sending)
      }
      const chunks = completionChunks(mergeAsync(streams.map(untilFinished)), answer)
      const hasGrammar = structuredOutput(body) !== undefined
      return await sendEventStream(reply, chunks, { dialect: openaiDialect, hasGrammar, pingMs, ...sending })
    } finally {
      group.abort()
    }
  }
}

/** A completion → one engine request per prompt, in order. */
export function completionToGenerateRequests(
  request: CompletionRequest,
  context: Pick<Generation, 'engineRequestId' | 'model' | 'cacheSalt'>,
  source?: JsonSource,
): GenerateRequest[] {
  const common = commonRequestFields(request, context)
  const logprobs = request.logprobs ?? null
  // One for all prompts, and frozen, so that the engine resolves it once.
  const params = Object.freeze({
    ...samplingParams(request),
    structuredOutput: structuredOutput(request, source),
    // The engine makes at least one token; an echo of the prompt alone drops it again.
    maxTokens: wantsPromptOnly(request) ? 1 : (request.max_tokens ?? defaultMaxTokens),
    logprobs,
    promptLogprobs: request.prompt_logprobs ?? (request.echo === true ? logprobs : null),
  })
  return promptInputs(request).map((prompt, index) => ({
    ...common,
    requestId: `${common.requestId}-${index}`,
    prompt,
    params,
    maxTokensMustFit: request.max_tokens != null && !wantsPromptOnly(request),
  }))
}

function promptInputs({ prompt, add_special_tokens: addSpecialTokens }: CompletionRequest): PromptInput[] {
  return splitPrompts(prompt).map((one) =>
    typeof one === 'string'
      ? { type: 'text', text: one, addSpecialTokens: addSpecialTokens ?? true }
      : { type: 'tokens', tokenIds: one },
  )
}

function splitPrompts(prompt: Prompt): (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt]
  const ids: number[] = []
  const prompts: (string | readonly number[])[] = []
  for (const entry of prompt) {
    if (typeof entry === 'number') ids.push(entry)
    else prompts.push(entry)
  }
  return ids.length > 0 ? [ids] : prompts
}

interface AnswerOptions {
  readonly request: CompletionRequest
  /** What is the same in every part of one answer. */
  readonly frame: Pick<Generation, 'id' | 'created' | 'model'>
  readonly detokenize: Detokenize | null
  readonly turns: TurnQueue
}

/** The parts of each prompt, in the prompts' order → the complete answer, with the keys that vLLM has. */
function completionAnswer(
  prompts: readonly AsyncIterable<RequestOutput>[],
  answer: AnswerOptions,
): InWriting<Completion> {
  const { frame } = answer
  const counter = new UsageCounter()
  return {
    id: frame.id,
    object: 'text_completion',
    created: frame.created,
    model: frame.model,
    choices: completionChoices(prompts, answer, counter),
    service_tier: null,
    system_fingerprint: null,
    usage: () => counter.usage(),
    kv_transfer_params: null,
  }
}

/** What the choices of a prompt share is made once, with the first of them. */
async function* completionChoices(
  prompts: readonly AsyncIterable<RequestOutput>[],
  { request, frame: _, ...parts }: AnswerOptions,
  counter: UsageCounter,
): AsyncGenerator<CompletionChoice, void, undefined> {
  for (const [promptIndex, outputs] of prompts.entries()) {
    let echo: EchoedPrompt | null = null
    let rows: WirePromptLogprobs | null = null
    for await (const { output, completion } of wholeSamples(outputs)) {
      counter.add(promptIndex, { ...output, outputs: [completion] }, { promptOnly: wantsPromptOnly(request) })
      if (echo === null) {
        echo = await echoPrompt(output, { ...parts, request })
        if (request.prompt_logprobs != null && output.promptLogprobs !== null)
          rows = await promptLogprobs(output.promptLogprobs, parts.turns)
      }
      const context = { ...parts, request, promptIndex, echo, isBeginning: true }
      yield { ...(await completionChoice(output, completion, context)), prompt_logprobs: rows }
    }
  }
}

/** The deltas of all prompts, each with its prompt's index, in the order in which they come → the events of a streamed answer. */
async function* completionChunks(
  outputs: AsyncIterable<{ readonly index: number; readonly value: RequestOutput }>,
  { request, frame, ...parts }: AnswerOptions,
): AsyncGenerator<CompletionChunk, void, undefined> {
  const counter = new UsageCounter()
  const chunk = (choices: CompletionChoice[], hasUsage: boolean): CompletionChunk => ({
    id: frame.id,
    object: 'text_completion',
    created: frame.created,
    model: frame.model,
    choices,
    ...(hasUsage && { usage: counter.usage() }),
  })
  const isContinuous = request.stream_options?.continuous_usage_stats === true
  const echoes = new Map<number, EchoedPrompt>()
  const begun = new Set<number>()
  for await (const { index: promptIndex, value: output } of outputs) {
    counter.add(promptIndex, output, { promptOnly: wantsPromptOnly(request) })
    const echo = echoes.get(promptIndex) ?? (await echoPrompt(output, { ...parts, request }))
    echoes.set(promptIndex, echo)
    for (const completion of output.outputs) {
      const choiceIndex = completion.index + promptIndex * (request.n ?? 1)
      const context = { ...parts, request, promptIndex, echo, isBeginning: !begun.has(choiceIndex) }
      const choice = await completionChoice(output, completion, context)
      if (isSilent(choice, completion)) continue
      begun.add(choiceIndex)
      yield chunk([choice], isContinuous)
    }
  }
  if (request.stream_options?.include_usage === true) yield chunk([], true)
}

/** Nothing to tell: text that may begin a stop string is held back by the engine. */
function isSilent(choice: CompletionChoice, { tokenIds }: CompletionOutput): boolean {
  const hasTokenIds = choice.token_ids !== null && tokenIds.length > 0
  return (
    choice.text === '' && choice.finish_reason === null && !hasTokenIds && (choice.logprobs?.tokens ?? []).length === 0
  )
}
