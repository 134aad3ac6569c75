import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import {
  resolveSamplingParams,
  type SamplingParams,
  type SamplingParamsInput,
  type ThinkingLimit,
} from '../sampling-params.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { randomSeed, uniformAt } from '../util/random.ts'
import type { TurnOptions, TurnQueue } from '../util/turn-queue.ts'
import { chatFormatOf } from './chat-format-of.ts'
import type { GrammarTranslator } from './grammar-translator.ts'
import type { GenerateRequest } from './engine-client.ts'
import { type OutputPlan, planOutput, type PlanOptions, thinkingTexts } from './output-plan.ts'
import type { PromptEncoder } from './prompt-encoder.ts'
import {
  cacheKeysOf,
  checkPriority,
  checkPromptLength,
  PromptProcessor,
  type PromptProcessorOptions,
  tokensToKeep,
} from './prompt-processor.ts'
import type { MessageSource } from './sample-output.ts'

export interface InputProcessorOptions extends PromptProcessorOptions {
  /** As `FrontModel`'s; default false. */
  readonly hasOwnTokenizer?: boolean
  readonly grammarTranslator: GrammarTranslator
  /** Everything that takes time on this thread goes through it. */
  readonly turns: TurnQueue
  /** Prompts above this length are rotated differently (LongRoPE); `null` = no such limit. */
  readonly longPromptThreshold: number | null
  readonly maxLogprobs: number
  readonly eosTokenIds: readonly number[]
  /** Defaults of sampling parameters, from generation_config.json. */
  readonly defaultParams: SamplingParams
  /** Whether the engine schedules by the requests' priorities. */
  readonly hasPriorities: boolean
  /** Seed of the seeds of requests that name none; `null` = different at each start. */
  readonly seed: number | null
}

/** A request as token ids: one sequence per sample, the first one the leader from which the others fork. */
export interface ProcessedRequest {
  readonly requestId: string
  readonly promptText: string | null
  readonly promptTokenIds: readonly number[]
  readonly params: SamplingParams
  readonly sequences: readonly SequenceRequest[]
  readonly messages: MessageSource
}

/** Text in, token ids out: renders the chat template, tokenizes, resolves the sampling parameters. */
export class InputProcessor {
  readonly #options: InputProcessorOptions
  readonly #prompts: PromptProcessor
  /** Of frozen parameters, which a server shares between the prompts of a request. */
  readonly #resolved = new WeakMap<object, Promise<SamplingParams>>()
  #numRequests = 0

  constructor(options: InputProcessorOptions) {
    this.#options = options
    this.#prompts = new PromptProcessor(options)
  }

  /** @throws InvalidRequestError | ContextLengthError | ChatTemplateError */
  async process(request: GenerateRequest, arrivalTime: number, signal?: AbortSignal): Promise<ProcessedRequest> {
    const { maxModelLen, eosTokenIds, hasPriorities, longPromptThreshold } = this.#options
    const priority = request.priority ?? 0
    checkPriority(priority, hasPriorities)
    // In the order of arrival, however long the prompts are.
    const freshSeed = request.params.seed == null ? this.#nextSeed() : 0
    // The prompts that come together are one caller's: they have their parameters in common.
    const turn = { caller: request.params, signal }
    const { turns } = this.#options
    const { text, tokenIds, template } = await turns.run(() => this.#prompts.encode(request, { signal }), turn)
    const promptTokenIds = truncate(tokenIds, request, maxModelLen)
    checkPromptLength(promptTokenIds, { maxModelLen, room: maxModelLen - 1 })

    const params = await this.#resolveParams(request, freshSeed, turn)
    checkRoom(request, { params, numPromptTokens: promptTokenIds.length, maxModelLen })
    const format = template === null ? null : await turns.run(() => chatFormatOf(template, this.#options), turn)
    const planOptions = { prompt: request.prompt, promptText: text, format, params }
    const plan = await turns.run(() => planOutput(planOptions), turn)
    const { messages } = plan
    const grammar = await this.#grammarOf(plan, turn)
    const thinking = await this.#thinkingLimit(planOptions, turn)
    if (grammar !== null && this.#options.hasOwnTokenizer === true) throw ownTokenizerError()
    const sequences = Array.from({ length: params.n }, (_, index): SequenceRequest => ({
      id: sequenceId(request.requestId, index),
      promptTokenIds,
      params: {
        ...params,
        // For text, which the engine's thread never sees.
        stop: [],
        badWords: [],
        structuredOutput: null,
        grammar,
        thinking,
        seed: (params.seed ?? 0) + index,
        promptLogprobs: index === 0 ? params.promptLogprobs : null,
      },
      eosTokenIds,
      priority,
      arrivalTime,
      cacheSalt: request.cacheSalt ?? null,
      cacheKeys: cacheKeysOf(promptTokenIds.length, longPromptThreshold),
      forkOf: index === 0 ? null : sequenceId(request.requestId, 0),
    }))
    return { requestId: request.requestId, promptText: text, promptTokenIds, params, sequences, messages }
  }

  async #grammarOf({ grammarInput, afterThinking }: OutputPlan, turn: TurnOptions): Promise<string | null> {
    if (grammarInput === null) return null
    const { grammarTranslator, turns } = this.#options
    const grammar = await (
      await turns.run(() => ({ translated: grammarTranslator.translate(grammarInput) }), turn)
    ).translated
    turn.signal?.throwIfAborted()
    return grammar === null ? null : turns.run(() => afterThinking(grammar), turn)
  }

  async #thinkingLimit(options: PlanOptions, turn: TurnOptions): Promise<ThinkingLimit | null> {
    const { promptEncoder, turns } = this.#options
    const texts = thinkingTexts(options)
    if (texts === null) return null
    const encode = (text: string): Promise<number[]> =>
      turns.run(() => promptEncoder.encode(text, { addSpecialTokens: false }), turn)
    const { maxTokens, isOpen } = texts
    return { maxTokens, startTokenIds: await encode(texts.start), endTokenIds: await encode(texts.end), isOpen }
  }

  async #resolveParams(
    { params: input }: GenerateRequest,
    freshSeed: number,
    turn: TurnOptions,
  ): Promise<SamplingParams> {
    const params = await (Object.isFrozen(input) ? this.#resolveShared(input) : this.#resolveInput(input, turn))
    return Object.freeze({ ...params, seed: params.seed ?? freshSeed })
  }

  /** The others must not hear of the abort, or of the bad luck, of one request. */
  #resolveShared(input: SamplingParamsInput): Promise<SamplingParams> {
    const known = this.#resolved.get(input)
    if (known !== undefined) return known
    const resolving = this.#resolveInput(input, { caller: input })
    this.#resolved.set(input, resolving)
    resolving.catch(() => this.#resolved.delete(input))
    return resolving
  }

  async #resolveInput(input: SamplingParamsInput, turn: TurnOptions): Promise<SamplingParams> {
    const { vocabSize, maxLogprobs, defaultParams, promptEncoder, turns } = this.#options
    // A model whose own default is greedy still gives n different samples to a client that leaves the temperature out.
    const isGreedyByDefault = defaultParams.temperature === 0 && input.temperature === undefined && (input.n ?? 1) > 1
    const defaults = isGreedyByDefault ? { ...defaultParams, temperature: 1 } : defaultParams
    const params = await turns.run(() => resolveSamplingParams(input, { vocabSize, maxLogprobs }, defaults), turn)
    // A word with a token beyond the vocabulary never comes out of the model.
    const words: number[][] = []
    for (const word of params.badWords)
      words.push(...(await turns.run(() => badWordTokenIds(promptEncoder, word), turn)))
    const possible = words.filter((ids) => ids.every((id) => id < vocabSize))
    return { ...params, badWordsTokenIds: [...params.badWordsTokenIds, ...possible] }
  }

  #nextSeed(): number {
    const { seed } = this.#options
    return seed === null ? randomSeed() : Math.floor(uniformAt(seed, this.#numRequests++) * 2 ** 48)
  }
}

function ownTokenizerError(): InvalidRequestError {
  return new InvalidRequestError(
    [
      { field: 'structuredOutput' },
      ' needs to know the bytes of every token, which are read from the checkpoint; an engine with a tokenizer of its own (createTokenizer) has no structured output and no tools that must be called.',
    ],
    'structuredOutput',
  )
}

export function sequenceId(requestId: string, index: number): string {
  return `${requestId}#${index}`
}

/** Each word as it is tokenized at the start of a text and after a space, whichever of the two has more tokens. */
async function badWordTokenIds(encoder: PromptEncoder, word: string): Promise<number[][]> {
  const texts = [word.trimStart(), ` ${word.trimStart()}`]
  const encoded = texts.map((text) => encoder.encode(text, { addSpecialTokens: false }))
  return (await Promise.all(encoded)).filter((ids) => ids.length > 0)
}

function checkRoom(
  { maxTokensMustFit = false }: GenerateRequest,
  sizes: { params: SamplingParams; numPromptTokens: number; maxModelLen: number },
): void {
  const { numPromptTokens, maxModelLen } = sizes
  const { maxTokens } = sizes.params
  if (maxTokensMustFit && maxTokens !== null && numPromptTokens + maxTokens > maxModelLen)
    throw new ContextLengthError(numPromptTokens, maxModelLen, { maxTokens })
}

function truncate(tokenIds: readonly number[], request: GenerateRequest, maxModelLen: number): readonly number[] {
  const count = tokensToKeep(request, { maxModelLen, room: maxModelLen - 1 })
  if (count === null || tokenIds.length <= count) return tokenIds
  return request.truncationSide === 'right' ? tokenIds.slice(0, count) : tokenIds.slice(-count)
}
