import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import { resolveSamplingParams, type SamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { ChatTemplates } from '../tokenizer/chat-templates.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { isJsonObject } from '../util/json-object.ts'
import { randomSeed, uniformAt } from '../util/random.ts'
import { encodePrompt } from './encode-prompt.ts'
import type { GenerateRequest, PromptInput } from './engine-client.ts'

export interface InputProcessorOptions {
  readonly tokenizer: Tokenizer
  readonly chatTemplates: ChatTemplates
  readonly vocabSize: number
  /** Prompts above this length are rotated differently (LongRoPE); `null` = no such limit. */
  readonly longPromptThreshold: number | null
  readonly maxModelLen: number
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
}

/** Text in, token ids out: renders the chat template, tokenizes, resolves the sampling parameters. */
export class InputProcessor {
  readonly #options: InputProcessorOptions
  /** Of frozen parameters, which a server shares between the prompts of a request. */
  readonly #resolved = new WeakMap<object, SamplingParams>()
  #numRequests = 0

  constructor(options: InputProcessorOptions) {
    this.#options = options
  }

  /** @throws InvalidRequestError | ContextLengthError | ChatTemplateError */
  process(request: GenerateRequest, arrivalTime: number): ProcessedRequest {
    const { maxModelLen, eosTokenIds, hasPriorities } = this.#options
    const priority = request.priority ?? 0
    if (!Number.isSafeInteger(priority))
      throw new InvalidRequestError(
        [{ field: 'priority' }, ` must be an integer, got ${String(priority)}.`],
        'priority',
      )
    if (priority !== 0 && !hasPriorities) {
      throw new InvalidRequestError(
        [
          { field: 'priority' },
          ` is ${priority}, but the engine schedules first come, first served; start it with schedulingPolicy 'priority'.`,
        ],
        'priority',
      )
    }
    const { text, tokenIds } = this.#encode(request)
    const promptTokenIds = truncate(tokenIds, request, maxModelLen)
    if (promptTokenIds.length === 0)
      throw new InvalidRequestError('The prompt is empty: it must have at least one token.', 'prompt')
    if (promptTokenIds.length >= maxModelLen) throw new ContextLengthError(promptTokenIds.length, maxModelLen)

    const params = this.#resolveParams(request)
    checkRoom(request, { params, numPromptTokens: promptTokenIds.length, maxModelLen })
    const sequences = Array.from({ length: params.n }, (_, index): SequenceRequest => ({
      id: sequenceId(request.requestId, index),
      promptTokenIds,
      params: {
        ...params,
        // For text, which the engine's thread never sees.
        stop: [],
        badWords: [],
        seed: (params.seed ?? 0) + index,
        promptLogprobs: index === 0 ? params.promptLogprobs : null,
      },
      eosTokenIds,
      priority,
      arrivalTime,
      cacheSalt: request.cacheSalt ?? null,
      cacheKeys: this.#cacheKeys(promptTokenIds.length),
      forkOf: index === 0 ? null : sequenceId(request.requestId, 0),
    }))
    return { requestId: request.requestId, promptText: text, promptTokenIds, params, sequences }
  }

  #encode(request: GenerateRequest): { text: string | null; tokenIds: readonly number[] } {
    const { prompt } = request
    switch (prompt.type) {
      case 'text':
        return { text: prompt.text, tokenIds: this.#tokenize(prompt.text, prompt.addSpecialTokens ?? true, request) }
      case 'tokens':
        for (const id of prompt.tokenIds) this.#checkTokenId(id)
        return { text: null, tokenIds: prompt.tokenIds }
      case 'chat': {
        const text = this.#renderChat(prompt)
        return { text, tokenIds: this.#tokenize(text, prompt.addSpecialTokens ?? false, request) }
      }
    }
  }

  #tokenize(text: string, addSpecialTokens: boolean, request: GenerateRequest): number[] {
    const { tokenizer, maxModelLen } = this.#options
    const cutSide = request.truncatePromptTokens == null ? null : (request.truncationSide ?? 'left')
    const tokenIds = encodePrompt(tokenizer, text, { addSpecialTokens, maxModelLen, cutSide })
    // Tokenizers have tokens that the model has no embedding for: images, padding that was added later.
    for (const id of tokenIds) this.#checkTokenId(id)
    return tokenIds
  }

  #checkTokenId(id: number): void {
    const { vocabSize, tokenizer } = this.#options
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) return
    const token = Number.isInteger(id) ? tokenizer.idToToken(id) : undefined
    throw new InvalidRequestError(
      `The prompt has token id ${String(id)}${token == null ? '' : ` (${JSON.stringify(token)})`}, which is out of vocabulary: this model's ids run from 0 to ${vocabSize - 1}. Leave the token out.`,
      'prompt',
    )
  }

  #renderChat(prompt: Extract<PromptInput, { type: 'chat' }>): string {
    checkMessages(prompt.messages)
    if (prompt.messages.length === 0)
      throw new InvalidRequestError([{ field: 'messages' }, ' is empty: at least one message is needed.'], 'messages')
    const continueFinalMessage = prompt.continueFinalMessage ?? false
    const addGenerationPrompt = prompt.addGenerationPrompt ?? !continueFinalMessage
    if (continueFinalMessage && addGenerationPrompt) {
      throw new InvalidRequestError(
        [
          { field: 'continueFinalMessage' },
          ' and ',
          { field: 'addGenerationPrompt' },
          ' exclude each other; set one of them to false.',
        ],
        'continueFinalMessage',
      )
    }
    const hasTools = prompt.tools != null && prompt.tools.length > 0
    const template = this.#options.chatTemplates.select(prompt.chatTemplate ?? null, hasTools)
    return template.render({
      messages: prompt.messages,
      tools: prompt.tools ?? null,
      addGenerationPrompt,
      continueFinalMessage,
      extra: prompt.chatTemplateKwargs ?? {},
    })
  }

  #resolveParams({ params: input }: GenerateRequest): SamplingParams {
    const params = this.#resolved.get(input) ?? this.#resolveInput(input)
    if (Object.isFrozen(input)) this.#resolved.set(input, params)
    return Object.freeze({ ...params, seed: params.seed ?? this.#nextSeed() })
  }

  #resolveInput(input: SamplingParamsInput): SamplingParams {
    const { vocabSize, maxLogprobs, defaultParams, tokenizer } = this.#options
    // A model whose own default is greedy still gives n different samples to a client that leaves the temperature out.
    const isGreedyByDefault = defaultParams.temperature === 0 && input.temperature === undefined && (input.n ?? 1) > 1
    const defaults = isGreedyByDefault ? { ...defaultParams, temperature: 1 } : defaultParams
    const params = resolveSamplingParams(input, { vocabSize, maxLogprobs }, defaults)
    // A word with a token beyond the vocabulary never comes out of the model.
    const words = params.badWords
      .flatMap((word) => badWordTokenIds(tokenizer, word))
      .filter((ids) => ids.every((id) => id < vocabSize))
    return { ...params, badWordsTokenIds: [...params.badWordsTokenIds, ...words] }
  }

  /** Keys of long and short prompts differ where LongRoPE rotates them differently: they must not share blocks. */
  #cacheKeys(numPromptTokens: number): readonly string[] {
    const { longPromptThreshold } = this.#options
    return longPromptThreshold !== null && numPromptTokens > longPromptThreshold ? ['rotation', 'long'] : []
  }

  #nextSeed(): number {
    const { seed } = this.#options
    return seed === null ? randomSeed() : Math.floor(uniformAt(seed, this.#numRequests++) * 2 ** 48)
  }
}

/** What types promise, but JavaScript does not keep: a template would say something obscure, or nothing. */
function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages)) {
    throw new InvalidRequestError(
      [{ field: 'messages' }, ` must be an array of messages, got ${typeof messages}.`],
      'messages',
    )
  }
  for (const [index, message] of (messages as unknown[]).entries()) {
    const isMessage = isJsonObject(message) && typeof message['role'] === 'string' && isContent(message['content'])
    if (!isMessage) {
      throw new InvalidRequestError(
        [
          { field: 'messages' },
          `[${index}] must be an object with a role and a content (a text, or parts with a text).`,
        ],
        'messages',
      )
    }
  }
}

function isContent(content: unknown): boolean {
  const isPart = (part: unknown): boolean =>
    typeof part === 'string' || (isJsonObject(part) && typeof part['text'] === 'string')
  return content == null || typeof content === 'string' || (Array.isArray(content) && content.every(isPart))
}

export function sequenceId(requestId: string, index: number): string {
  return `${requestId}#${index}`
}

/** Each word as it is tokenized at the start of a text and after a space, whichever of the two has more tokens. */
function badWordTokenIds(tokenizer: Tokenizer, word: string): number[][] {
  const bare = tokenizer.encode(word.trimStart(), { addSpecialTokens: false })
  const spaced = tokenizer.encode(` ${word.trimStart()}`, { addSpecialTokens: false })
  return [bare, spaced].filter((ids) => ids.length > 0)
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
  const keep = request.truncatePromptTokens
  if (keep == null) return tokenIds
  if (!Number.isSafeInteger(keep) || keep < -1 || keep === 0 || keep > maxModelLen) {
    throw new InvalidRequestError(
      [{ field: 'truncatePromptTokens' }, ` must be -1 or from 1 to ${maxModelLen}, got ${String(keep)}.`],
      'truncatePromptTokens',
    )
  }
  const count = keep === -1 ? maxModelLen - 1 : keep
  if (tokenIds.length <= count) return tokenIds
  return request.truncationSide === 'right' ? tokenIds.slice(0, count) : tokenIds.slice(-count)
}
