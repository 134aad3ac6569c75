import { InvalidRequestError } from '../errors.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** The bytes of every token, for threads to read at once. */
export interface SharedVocabulary {
  /** Of all tokens, one behind the other. */
  readonly bytes: SharedArrayBuffer
  /** Int32 `[numTokens + 1]`: token `i` is `bytes[ends[i] .. ends[i + 1]]`. */
  readonly ends: SharedArrayBuffer
  /** Special tokens as they are written, with their ids. */
  readonly special: readonly (readonly [text: string, id: number])[]
}

/** Stands before the text of a special token: no JSON has it, nor does a model write it, so that text is never taken for the token. */
export const specialMark = '\x1e'

/**
 * @param vocabSize ids from there on have no row in the model
 * @throws InvalidRequestError where tokens do not stand for bytes of their own
 */
export function shareVocabulary(tokenizer: Tokenizer, vocabSize: number): SharedVocabulary {
  if (tokenizer.hasTokenBytes === false) {
    throw new InvalidRequestError(
      [
        { field: 'structuredOutput' },
        " cannot be had from this model: the text of its tokenizer's tokens depends on the tokens around them. Leave it out, or use another model.",
      ],
      'structuredOutput',
    )
  }
  const special: [string, number][] = []
  const tokens = Array.from({ length: Math.min(vocabSize, tokenizer.vocabSize) }, (_, id) => {
    if (!tokenizer.specialTokenIds.has(id)) return tokenizer.tokenBytes(id)
    const text = tokenizer.idToToken(id)
    if (text === null) return new Uint8Array()
    special.push([text, id])
    return new TextEncoder().encode(specialMark + text)
  })
  const ends = new Int32Array(new SharedArrayBuffer(4 * (tokens.length + 1)))
  tokens.forEach((token, id) => (ends[id + 1] = ends[id]! + token.length))
  const bytes = new Uint8Array(new SharedArrayBuffer(Math.max(1, ends[tokens.length]!)))
  tokens.forEach((token, id) => bytes.set(token, ends[id]))
  return { bytes: bytes.buffer, ends: ends.buffer, special }
}

/** Copies: the library refuses shared memory. */
export function tokensOf({ bytes, ends }: SharedVocabulary): Uint8Array[] {
  const all = new Uint8Array(bytes)
  const offsets = new Int32Array(ends)
  return Array.from({ length: offsets.length - 1 }, (_, id) => all.slice(offsets[id], offsets[id + 1]))
}
