import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import type { ChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatTemplates } from '../tokenizer/chat-templates.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { checkTextLength, cutText, encodePrompt, encodeText } from './encode-prompt.ts'
import type { PromptInput } from './engine-client.ts'
import type { PromptEncoder } from './prompt-encoder.ts'
import { renderChat } from './render-chat.ts'

export interface PromptProcessorOptions {
  readonly tokenizer: Tokenizer
  readonly promptEncoder: PromptEncoder
  readonly chatTemplates: ChatTemplates
  readonly vocabSize: number
  readonly maxModelLen: number
}

/** What of a request says what its prompt is. */
export interface PromptRequest {
  readonly prompt: PromptInput
  readonly truncatePromptTokens?: number | null
  readonly truncationSide?: 'left' | 'right'
}

export interface EncodedPrompt {
  readonly text: string | null
  readonly tokenIds: readonly number[]
  /** What rendered a conversation. */
  readonly template: ChatTemplate | null
}

export interface EncodePromptInputOptions {
  /** Whether tokens follow the prompt, for one of which the context must have room. Default true. */
  readonly hasOutput?: boolean
  readonly signal?: AbortSignal | undefined
}

interface TokenizeOptions extends EncodePromptInputOptions {
  readonly request: PromptRequest
  readonly addSpecialTokens: boolean
}

export interface EncodedPair {
  readonly tokenIds: readonly number[]
  /** 0 or 1 per token. */
  readonly typeIds: readonly number[]
}

/** Text, token ids or a conversation → token ids that the model has rows for. */
export class PromptProcessor {
  readonly #options: PromptProcessorOptions

  constructor(options: PromptProcessorOptions) {
    this.#options = options
  }

  /**
   * The whole prompt; of a text that is far beyond the context no more than shows it, or than truncation keeps.
   * @throws InvalidRequestError | ContextLengthError | ChatTemplateError
   */
  async encode(request: PromptRequest, options: EncodePromptInputOptions = {}): Promise<EncodedPrompt> {
    const { prompt } = request
    switch (prompt.type) {
      case 'text': {
        const addSpecialTokens = prompt.addSpecialTokens ?? true
        const tokenIds = await this.#tokenize(prompt.text, { ...options, request, addSpecialTokens })
        return { text: prompt.text, tokenIds, template: null }
      }
      case 'tokens':
        this.#check(prompt.tokenIds)
        return { text: null, tokenIds: prompt.tokenIds, template: null }
      case 'chat': {
        const { text, template } = renderChat(prompt, this.#options.chatTemplates)
        const addSpecialTokens = prompt.addSpecialTokens ?? false
        return { text, template, tokenIds: await this.#tokenize(text, { ...options, request, addSpecialTokens }) }
      }
    }
  }

  /** A text without special tokens, where the whole has them: what truncation may cut. */
  async encodeBody(text: string, request: PromptRequest, signal?: AbortSignal): Promise<number[]> {
    return this.#tokenize(text, { request, addSpecialTokens: false, signal })
  }

  /** Two texts as one prompt, in the form that the tokenizer has for it. Bounds as those of `encode`. */
  async encodePair(
    texts: readonly [string, string],
    request: PromptRequest,
    signal?: AbortSignal,
  ): Promise<EncodedPair> {
    const { promptEncoder, maxModelLen } = this.#options
    const options = { maxModelLen, hasOutput: false, cutSide: cutSideOf(request), ...(signal && { signal }) }
    const parts: string[] = []
    for (const text of texts) {
      await checkTextLength(promptEncoder, text, { ...options, addSpecialTokens: false })
      parts.push(cutText(text, options))
    }
    const addSpecialTokens = request.prompt.type !== 'text' || (request.prompt.addSpecialTokens ?? true)
    const [first = '', second = ''] = parts
    const { ids, typeIds } = await encodeText(() =>
      promptEncoder.encodePair(first, second, { addSpecialTokens, ...(signal && { signal }) }),
    )
    this.#check(ids)
    return { tokenIds: ids, typeIds }
  }

  async #tokenize(
    text: string,
    { request, addSpecialTokens, hasOutput = true, signal }: TokenizeOptions,
  ): Promise<number[]> {
    const { promptEncoder, maxModelLen } = this.#options
    const tokenIds = await encodePrompt(promptEncoder, text, {
      addSpecialTokens,
      maxModelLen,
      hasOutput,
      cutSide: cutSideOf(request),
      ...(signal && { signal }),
    })
    // Tokenizers have tokens that the model has no embedding for: images, padding that was added later.
    this.#check(tokenIds)
    return tokenIds
  }

  #check(tokenIds: readonly number[]): void {
    const { vocabSize, tokenizer } = this.#options
    for (const id of tokenIds) {
      if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue
      const token = Number.isInteger(id) ? tokenizer.idToToken(id) : undefined
      throw new InvalidRequestError(
        `The prompt has token id ${String(id)}${token == null ? '' : ` (${JSON.stringify(token)})`}, which is out of vocabulary: this model's ids run from 0 to ${vocabSize - 1}. Leave the token out.`,
        'prompt',
      )
    }
  }
}

function cutSideOf({ truncatePromptTokens, truncationSide }: PromptRequest): 'left' | 'right' | null {
  return truncatePromptTokens == null ? null : (truncationSide ?? 'left')
}

/**
 * How many tokens truncation keeps; `null`: it was not asked for. `room`: what -1 stands for.
 * @throws InvalidRequestError
 */
export function tokensToKeep(
  { truncatePromptTokens: keep }: PromptRequest,
  { maxModelLen, room }: PromptRoom,
): number | null {
  if (keep == null) return null
  if (!Number.isSafeInteger(keep) || keep < -1 || keep === 0 || keep > maxModelLen) {
    throw new InvalidRequestError(
      [{ field: 'truncatePromptTokens' }, ` must be -1 or from 1 to ${maxModelLen}, got ${String(keep)}.`],
      'truncatePromptTokens',
    )
  }
  return keep === -1 ? room : keep
}

export interface PromptRoom {
  readonly maxModelLen: number
  /** Tokens that a prompt may have. */
  readonly room: number
}

/** @throws InvalidRequestError | ContextLengthError */
export function checkPromptLength(tokenIds: readonly number[], { maxModelLen, room }: PromptRoom): void {
  if (tokenIds.length === 0)
    throw new InvalidRequestError('The prompt is empty: it must have at least one token.', 'prompt')
  if (tokenIds.length > room)
    throw new ContextLengthError(tokenIds.length, maxModelLen, { hasOutput: room < maxModelLen })
}

/** @throws InvalidRequestError where it is no integer, or the engine has no priorities */
export function checkPriority(priority: number, hasPriorities: boolean): void {
  if (!Number.isSafeInteger(priority))
    throw new InvalidRequestError([{ field: 'priority' }, ` must be an integer, got ${String(priority)}.`], 'priority')
  if (priority === 0 || hasPriorities) return
  throw new InvalidRequestError(
    [
      { field: 'priority' },
      ` is ${priority}, but the engine schedules first come, first served; start it with schedulingPolicy 'priority'.`,
    ],
    'priority',
  )
}

/** Keys of long and short prompts differ where LongRoPE rotates them differently: they must not share blocks. */
export function cacheKeysOf(numPromptTokens: number, longPromptThreshold: number | null): readonly string[] {
  return longPromptThreshold !== null && numPromptTokens > longPromptThreshold ? ['rotation', 'long'] : []
}
