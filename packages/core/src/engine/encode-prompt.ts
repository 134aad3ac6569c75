import { ContextLengthError, InvalidRequestError, OctavoError } from '../errors.ts'
import type { PromptEncoder } from './prompt-encoder.ts'

export interface EncodePromptOptions {
  readonly addSpecialTokens: boolean
  readonly maxModelLen: number
  /** Whether tokens follow the prompt, for one of which the context must have room. Default true. */
  readonly hasOutput?: boolean
  /** The end of the prompt that `truncatePromptTokens` takes away; `null` = the prompt must fit as it is. */
  readonly cutSide: 'left' | 'right' | null
  readonly signal?: AbortSignal
}

/** A prompt that fills the context has about four characters a token; one far beyond this many is looked at in parts. */
const charsPerToken = 8
/** Where a text is cut, its last tokens may come out otherwise than in the whole. */
const slackTokens = 64
/** Of a prompt that is truncated anyway, no more than this is tokenized (or 32 characters per position, if that is more). */
const maxTruncatedLength = 65_536

/**
 * Text → token ids, in a time bounded by the context, not by the text. Of a text that is far too long only a beginning is
 * tokenized, just enough to know so.
 * @throws ContextLengthError | InvalidRequestError where the tokenizer cannot take the text
 */
export async function encodePrompt(
  encoder: Pick<PromptEncoder, 'encode'>,
  text: string,
  options: EncodePromptOptions,
): Promise<number[]> {
  const { addSpecialTokens, cutSide, signal } = options
  if (cutSide === null) await checkTextLength(encoder, text, options)
  return encodeText(() => encoder.encode(cutText(text, options), { addSpecialTokens, ...(signal && { signal }) }))
}

/** Of a text that will not be cut: looks at beginnings of one that is far too long. @throws ContextLengthError */
export async function checkTextLength(
  encoder: Pick<PromptEncoder, 'encode'>,
  text: string,
  { addSpecialTokens, maxModelLen, hasOutput = true, cutSide, signal }: EncodePromptOptions,
): Promise<void> {
  if (cutSide !== null) return
  for (let length = charsPerToken * maxModelLen; length < text.length / 2; length *= 2) {
    const part = text.slice(0, length)
    const ids = await encodeText(() => encoder.encode(part, { addSpecialTokens, ...(signal && { signal }) }))
    const numTokens = ids.length - slackTokens
    if (numTokens + (hasOutput ? 1 : 0) > maxModelLen)
      throw new ContextLengthError(numTokens, maxModelLen, { isLowerBound: true, hasOutput })
  }
}

/** What of a text is tokenized: all, or the bounded part that truncation may keep. */
export function cutText(
  text: string,
  { cutSide, maxModelLen }: Pick<EncodePromptOptions, 'cutSide' | 'maxModelLen'>,
): string {
  const length = Math.max(maxTruncatedLength, 32 * maxModelLen)
  if (cutSide === null || text.length <= length) return text
  return cutSide === 'left' ? text.slice(-length) : text.slice(0, length)
}

/** A text that the tokenizer refuses is the request's fault. */
export async function encodeText<T>(encode: () => T | Promise<T>): Promise<T> {
  try {
    return await encode()
  } catch (error) {
    if (!OctavoError.isInstance(error) || error.code !== 'tokenizer_error') throw error
    throw new InvalidRequestError(error.message, 'prompt', { cause: error })
  }
}
