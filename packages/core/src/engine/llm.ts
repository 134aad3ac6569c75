import { randomUUID } from 'node:crypto'
import type { EngineOptions } from '../config/engine-options.ts'
import type { ToolChoice } from '../chat-format/tool-choice.ts'
import { InvalidRequestError } from '../errors.ts'
import type { SamplingParamsInput } from '../sampling-params.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { AsyncEngine } from './async-engine.ts'
import { type EngineHooks, hookNames } from './engine-hooks.ts'
import type { GenerateRequest, PoolingOutput, PromptInput, ServedModel } from './engine-client.ts'
import {
  type ClassificationOutput,
  type EmbeddingOutput,
  type EmbedOptions,
  encodeAll,
  type EncodeOptions,
  type PoolingOptions,
  scoreAll,
  type ScoringOutput,
  withNamedPrompt,
} from './llm-pooling.ts'
import { labelOf } from './read-vectors.ts'
import { runAll } from './run-all.ts'

/** Text, or token ids that are taken as they are. */
export type Prompt = string | readonly number[]

/** What a prompt that is too long becomes. Default: an error. */
export interface TruncationOptions {
  /** Keep only so many tokens of the prompt; -1: as many as the context has room for. */
  readonly truncatePromptTokens?: number
  /** Where tokens are dropped. Default 'left': the end of the prompt is kept. */
  readonly truncationSide?: 'left' | 'right'
}

/** How a conversation becomes a prompt; absent fields leave it to the chat template. */
export interface ChatOptions extends TruncationOptions {
  /** As JSON text numbers and keys keep the form and order they were written in. */
  readonly tools?: readonly ToolDefinition[] | string
  /** Default 'auto' where there are tools. */
  readonly toolChoice?: ToolChoice
  /** Default true; false: the first call alone is reported, and no other is made where calls are held by a grammar. */
  readonly parallelToolCalls?: boolean
  /** Read reasoning, content and tool calls of the text: `output.message`. Default true. */
  readonly parseOutput?: boolean
  readonly chatTemplate?: string
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>
  readonly addGenerationPrompt?: boolean
  readonly continueFinalMessage?: boolean
  readonly signal?: AbortSignal
}

/** How prompts are taken. */
export interface GenerateOptions extends TruncationOptions {
  /** Run the tokenizer's post-processor on text prompts. Default true. */
  readonly addSpecialTokens?: boolean
  readonly signal?: AbortSignal
}

type InputOptions = Pick<GenerateOptions, 'addSpecialTokens'>

/**
 * Offline inference in this process: vLLM's `LLM`. Prompts given together, and calls that overlap, share the engine's batches.
 *
 * @example
 * const llm = await LLM.load('octavo-tiny')
 * const [output] = await llm.chat([{ role: 'user', content: 'Hello!' }], { temperature: 0 })
 * await llm.shutdown()
 */
export class LLM implements AsyncDisposable {
  readonly engine: AsyncEngine

  constructor(engine: AsyncEngine) {
    this.engine = engine
  }

  /** Text ↔ token ids, as the engine takes and gives them. */
  get tokenizer(): Tokenizer {
    return this.engine.tokenizer
  }

  /** @param model a folder, a `.gguf` file, a Hugging Face repo id, or the embedded `octavo-tiny` */
  static async load(model: string, options: Omit<EngineOptions, 'model'> & EngineHooks = {}): Promise<LLM> {
    const engineOptions = Object.fromEntries(Object.entries(options).filter(([name]) => !(name in hookNames)))
    return new this(await AsyncEngine.create({ ...engineOptions, model }, options))
  }

  /** Completes every prompt; outputs in the order of the prompts. One set of parameters for all, or one for each. */
  async generate(
    prompts: Prompt | readonly Prompt[],
    params: SamplingParamsInput | readonly SamplingParamsInput[] = {},
    options: GenerateOptions = {},
  ): Promise<RequestOutput[]> {
    return this.#all(toInputs(prompts, options), params, options)
  }

  /** Yields what is new of one completion as it comes. */
  generateStream(
    prompt: Prompt,
    params: SamplingParamsInput = {},
    options: GenerateOptions = {},
  ): AsyncIterable<RequestOutput> {
    return this.engine.generate(
      { ...newRequest(toInput(prompt, options), params, options), outputKind: 'delta' },
      options.signal,
    )
  }

  /** Answers one conversation, or several. Without `maxTokens` an answer may fill the context. */
  async chat(
    messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    params: SamplingParamsInput | readonly SamplingParamsInput[] = {},
    options: ChatOptions = {},
  ): Promise<RequestOutput[]> {
    const conversations = isConversationList(messages) ? messages : [messages]
    const withDefault = isParamsList(params) ? params.map(chatParams) : chatParams(params)
    return this.#all(
      conversations.map((conversation) => toChatInput(conversation, options)),
      withDefault,
      options,
    )
  }

  /** Yields what is new of one answer as it comes. */
  chatStream(
    messages: readonly ChatMessage[],
    params: SamplingParamsInput = {},
    options: ChatOptions = {},
  ): AsyncIterable<RequestOutput> {
    return this.engine.generate(
      { ...newRequest(toChatInput(messages, options), chatParams(params), options), outputKind: 'delta' },
      options.signal,
    )
  }

  /**
   * The shortest way to an answer: a text (a question to a chat model, a text to continue for others) or messages in, text out.
   */
  async infer(input: string | readonly ChatMessage[], params: SamplingParamsInput = {}): Promise<string> {
    const isChat = typeof input !== 'string' || this.engine.models.some((model) => model.hasChatTemplate)
    const messages: readonly ChatMessage[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input
    const [output] = isChat
      ? await this.chat(messages, params)
      : await this.generate(input as string, chatParams(params))
    return output?.outputs[0]?.text ?? ''
  }

  /**
   * A vector for each prompt. Every decoder embeds too: the hidden state of its last token, normalized.
   * @example
   * const [query, document] = await llm.embed(['How tall is it?', 'It is 8 848 m high.'])
   */
  async embed(prompts: Prompt | readonly Prompt[], options: EmbedOptions = {}): Promise<EmbeddingOutput[]> {
    const { promptName, ...rest } = options
    const inputs = toInputs(prompts, rest)
    const named = promptName === undefined ? inputs : withNamedPrompt(inputs, promptName, this.#model)
    const outputs = await encodeAll(this.engine, named, { task: 'embed', ...rest })
    return outputs.map(({ data, shape: _, ...output }) => ({ ...output, embedding: data }))
  }

  /** The probability of each label, of sequence classifiers. */
  async classify(prompts: Prompt | readonly Prompt[], options: PoolingOptions = {}): Promise<ClassificationOutput[]> {
    const outputs = await encodeAll(this.engine, toInputs(prompts, options), { task: 'classify', ...options })
    const model = this.#model
    return outputs.map(({ data, shape: _, ...output }) => ({ ...output, probs: data, label: labelOf(data, model) }))
  }

  /**
   * How well texts go together: one with each of many, or each with the one in its place. What a cross-encoder with one
   * label says of both, or the cosine of their embeddings.
   */
  score(
    first: string | readonly string[],
    second: string | readonly string[],
    options: PoolingOptions = {},
  ): Promise<ScoringOutput[]> {
    return scoreAll(this.engine, [toList(first), toList(second)], options)
  }

  /** Vectors as the engine makes them, for any pooling task: those of tokens have shape `[numTokens, n]`. */
  async encode(prompts: Prompt | readonly Prompt[], options: EncodeOptions): Promise<PoolingOutput[]> {
    return encodeAll(this.engine, toInputs(prompts, options), options)
  }

  /** Ends the engine thread; what still runs ends with finishReason 'abort'. */
  async shutdown(): Promise<void> {
    await this.engine.shutdown()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }

  get #model(): ServedModel {
    return this.engine.models[0]!
  }

  async #all(
    inputs: readonly PromptInput[],
    params: SamplingParamsInput | readonly SamplingParamsInput[],
    { signal, ...truncation }: TruncationOptions & { readonly signal?: AbortSignal },
  ): Promise<RequestOutput[]> {
    if (isParamsList(params) && params.length !== inputs.length) {
      throw new InvalidRequestError(
        `${params.length} sets of sampling parameters for ${inputs.length} prompts: give one, or one for each.`,
        'params',
      )
    }
    // Frozen, so that what all prompts have in common is resolved once.
    const shared = isParamsList(params) ? null : Object.freeze({ ...params })
    const run = async (prompt: PromptInput, i: number, either: AbortSignal): Promise<RequestOutput> => {
      const request = newRequest(prompt, shared ?? (params as readonly SamplingParamsInput[])[i] ?? {}, truncation)
      let last: RequestOutput | null = null
      for await (const output of this.engine.generate({ ...request, outputKind: 'final' }, either)) last = output
      if (last === null) throw new InvalidRequestError('The request ended without an output.')
      return last
    }
    return runAll(inputs, run, signal)
  }
}

/** Loads a model for `model.infer(…)`: the same as `LLM.load`. */
export function loadModel(model: string, options: Omit<EngineOptions, 'model'> & EngineHooks = {}): Promise<LLM> {
  return LLM.load(model, options)
}

function newRequest(
  prompt: PromptInput,
  params: SamplingParamsInput,
  { truncatePromptTokens, truncationSide }: TruncationOptions,
): GenerateRequest {
  return {
    requestId: randomUUID(),
    prompt,
    params,
    ...(truncatePromptTokens !== undefined && { truncatePromptTokens }),
    ...(truncationSide !== undefined && { truncationSide }),
  }
}

function chatParams(params: SamplingParamsInput): SamplingParamsInput {
  return params.maxTokens === undefined ? { ...params, maxTokens: null } : params
}

function toInputs(prompts: Prompt | readonly Prompt[], options: InputOptions): PromptInput[] {
  return (isPromptList(prompts) ? prompts : [prompts]).map((prompt) => toInput(prompt, options))
}

function toList(texts: string | readonly string[]): readonly string[] {
  return typeof texts === 'string' ? [texts] : texts
}

function toInput(prompt: Prompt, { addSpecialTokens = true }: InputOptions): PromptInput {
  if (typeof prompt === 'string') return { type: 'text', text: prompt, addSpecialTokens }
  if (Array.isArray(prompt)) return { type: 'tokens', tokenIds: prompt }
  throw new InvalidRequestError(`A prompt must be a text or an array of token ids, got ${typeof prompt}.`, 'prompt')
}

function toChatInput(
  messages: readonly ChatMessage[],
  { signal: _, truncatePromptTokens: _tokens, truncationSide: _side, ...options }: ChatOptions,
): PromptInput {
  return { type: 'chat', messages, parseOutput: true, ...options }
}

function isParamsList(
  params: SamplingParamsInput | readonly SamplingParamsInput[],
): params is readonly SamplingParamsInput[] {
  return Array.isArray(params)
}

function isPromptList(prompts: Prompt | readonly Prompt[]): prompts is readonly Prompt[] {
  return Array.isArray(prompts) && (prompts.length === 0 || typeof prompts[0] !== 'number')
}

function isConversationList(
  messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
): messages is readonly (readonly ChatMessage[])[] {
  return Array.isArray(messages) && Array.isArray(messages[0])
}
