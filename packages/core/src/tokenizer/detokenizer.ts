import type { DecodeStream, Tokenizer } from './tokenizer.ts'

export interface DetokenizerOptions {
  readonly skipSpecialTokens: boolean
  /** `false`: no space that the decoder would put between two special tokens in a row. Default true. */
  readonly spacesBetweenSpecialTokens?: boolean
  /** The output continues these: its first word keeps its leading space. */
  readonly promptTokenIds?: readonly number[]
}

/**
 * Token ids in, complete text out: never half a character. Work and memory per token do not grow with the number of
 * tokens, whatever the model emits.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer
  readonly #stream: DecodeStream
  readonly #joinsSpecialTokens: boolean
  #wasSpecial = false

  constructor(tokenizer: Tokenizer, options: DetokenizerOptions) {
    const { skipSpecialTokens, spacesBetweenSpecialTokens = true, promptTokenIds = [] } = options
    this.#tokenizer = tokenizer
    this.#stream = tokenizer.createDecodeStream({ skipSpecialTokens, promptTokenIds })
    this.#joinsSpecialTokens = !spacesBetweenSpecialTokens && !skipSpecialTokens
  }

  /** The text that becomes available with this token. */
  push(tokenId: number): string {
    const text = this.#stream.push(tokenId)
    if (!this.#joinsSpecialTokens) return text
    const isSpecial = this.#tokenizer.specialTokenIds.has(tokenId)
    const isJoined = isSpecial && this.#wasSpecial && text === ` ${this.#tokenizer.idToToken(tokenId)}`
    this.#wasSpecial = isSpecial
    return isJoined ? text.slice(1) : text
  }

  /** How many characters that are not available yet stand before this token, the next to be pushed. */
  heldBefore(tokenId: number): number {
    return this.#stream.heldBefore?.(tokenId) ?? 0
  }

  /** What the last tokens left incomplete, as U+FFFD. */
  flush(): string {
    return this.#stream.flush()
  }
}
