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
  readonly #parts: string[] = []
  #wasSpecial = false

  constructor(tokenizer: Tokenizer, options: DetokenizerOptions) {
    const { skipSpecialTokens, spacesBetweenSpecialTokens = true, promptTokenIds = [] } = options
    this.#tokenizer = tokenizer
    this.#stream = tokenizer.createDecodeStream({ skipSpecialTokens, promptTokenIds })
    this.#joinsSpecialTokens = !spacesBetweenSpecialTokens && !skipSpecialTokens
  }

  /** All text so far. */
  get text(): string {
    if (this.#parts.length > 1) this.#parts.splice(0, this.#parts.length, this.#parts.join(''))
    return this.#parts[0] ?? ''
  }

  /** The text that becomes available with this token. */
  push(tokenId: number): string {
    const text = this.#stream.push(tokenId)
    if (!this.#joinsSpecialTokens) return this.#add(text)
    const isSpecial = this.#tokenizer.specialTokenIds.has(tokenId)
    const isJoined = isSpecial && this.#wasSpecial && text === ` ${this.#tokenizer.idToToken(tokenId)}`
    this.#wasSpecial = isSpecial
    return this.#add(isJoined ? text.slice(1) : text)
  }

  /** What the last tokens left incomplete, as U+FFFD. */
  flush(): string {
    return this.#add(this.#stream.flush())
  }

  #add(text: string): string {
    if (text !== '') this.#parts.push(text)
    return text
  }
}
