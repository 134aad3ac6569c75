import { ContextLengthError, InvalidRequestError, OctavoError } from '../errors.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

export interface EncodePromptOptions {
  readonly addSpecialTokens: boolean
  readonly maxModelLen: number
  /** The end of the prompt that `truncatePromptTokens` takes away; `null` = the prompt must fit as it is. */
  readonly cutSide: 'left' | 'right' | null
}

/** A prompt that fills the context has about four characters a token; one far beyond this many is looked at in parts. */
const charsPerToken = 8
/** Where a text is cut, its last tokens may come out otherwise than in the whole. */
const slackTokens = 64
/** Of a prompt that is truncated anyway, no more than this is tokenized (or 32 characters per position, if that is more). */
const maxTruncatedLength = 65_536

/**
 * Text → token ids, in a time bounded by the context, not by the text: tokenizing holds up the front thread, and with it
 * every other request. Of a text that is far too long only a beginning is tokenized, just enough to know so.
 * @throws ContextLengthError | InvalidRequestError where the tokenizer cannot take the text
 */
export function encodePrompt(tokenizer: Tokenizer, text: string, options: EncodePromptOptions): number[] {
  const { addSpecialTokens, maxModelLen, cutSide } = options
  const encode = (part: string): number[] => encodeText(tokenizer, part, addSpecialTokens)
  if (cutSide !== null) return encode(cutText(text, cutSide, Math.max(maxTruncatedLength, 32 * maxModelLen)))
  for (let length = charsPerToken * maxModelLen; length < text.length / 2; length *= 2) {
    const numTokens = encode(text.slice(0, length)).length - slackTokens
    if (numTokens >= maxModelLen) throw new ContextLengthError(numTokens, maxModelLen, { isLowerBound: true })
  }
  return encode(text)
}

function cutText(text: string, side: 'left' | 'right', length: number): string {
  if (text.length <= length) return text
  return side === 'left' ? text.slice(-length) : text.slice(0, length)
}

function encodeText(tokenizer: Tokenizer, text: string, addSpecialTokens: boolean): number[] {
  try {
    return tokenizer.encode(text, { addSpecialTokens })
  } catch (error) {
    if (!OctavoError.isInstance(error) || error.code !== 'tokenizer_error') throw error
    throw new InvalidRequestError(error.message, 'prompt', { cause: error })
  }
}
