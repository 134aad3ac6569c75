import type { DecodedLogprob, DecodedTokenLogprobs, Logprob, TokenLogprobs } from '../sequence/outputs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** Gives logprobs their tokens' text and bytes; a token that is part of a character has U+FFFD as text. */
export class LogprobDecoder {
  readonly tokenizer: Tokenizer
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  constructor(tokenizer: Tokenizer) {
    this.tokenizer = tokenizer
  }

  decode({ chosen, top }: TokenLogprobs): DecodedTokenLogprobs {
    return { chosen: this.#decodeOne(chosen), top: top.map((logprob) => this.#decodeOne(logprob)) }
  }

  #decodeOne(logprob: Logprob): DecodedLogprob {
    const bytes = this.tokenizer.tokenBytes(logprob.tokenId)
    return { ...logprob, token: this.#utf8.decode(bytes), bytes: Array.from(bytes) }
  }
}
