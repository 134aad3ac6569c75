import type { DecodedLogprob, DecodedTokenLogprobs, Logprob, TokenLogprobs } from '../sequence/outputs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

type TokenText = Omit<DecodedLogprob, keyof Logprob>

/** Gives logprobs their tokens' text and bytes; a token that is part of a character has U+FFFD as text. */
export class LogprobDecoder {
  readonly tokenizer: Tokenizer
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  /** By id. The entries of a long answer with many candidates are millions: those of a token share its text and bytes. */
  readonly #tokens: (TokenText | undefined)[] = []

  constructor(tokenizer: Tokenizer) {
    this.tokenizer = tokenizer
  }

  decode({ chosen, top }: TokenLogprobs): DecodedTokenLogprobs {
    return { chosen: this.#decodeOne(chosen), top: top.map((logprob) => this.#decodeOne(logprob)) }
  }

  #decodeOne({ tokenId, logprob, rank }: Logprob): DecodedLogprob {
    return { tokenId, logprob, rank, ...(this.#tokens[tokenId] ??= this.#decodeToken(tokenId)) }
  }

  #decodeToken(tokenId: number): TokenText {
    const bytes = this.tokenizer.tokenBytes(tokenId)
    return { token: this.#utf8.decode(bytes), bytes: Object.freeze(Array.from(bytes)) }
  }
}
