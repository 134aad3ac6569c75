import type { DecodedLogprob, DecodedTokenLogprobs, Logprob } from '../sequence/outputs.ts'
import { type PackedLogprobs, tokenEnd, unpackToken } from '../sequence/packed-logprobs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { TurnQueue } from '../util/turn-queue.ts'

type TokenText = Omit<DecodedLogprob, keyof Logprob>
type Decoded = (DecodedTokenLogprobs | null)[]

/** Numbers of packed logprobs that are decoded in one go; some 0.2 ms. */
export const maxDecodedAtOnce = 4096

/** Gives logprobs their tokens' text and bytes; a token that is part of a character has U+FFFD as text. */
export class LogprobDecoder {
  readonly tokenizer: Tokenizer
  readonly #turns: TurnQueue
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  /** By id. The entries of a long answer with many candidates are millions: those of a token share its text and bytes. */
  readonly #tokens: (TokenText | undefined)[] = []

  constructor(tokenizer: Tokenizer, turns: TurnQueue) {
    this.tokenizer = tokenizer
    this.#turns = turns
  }

  /** One entry per token; `null` for a token without. */
  decode(lists: readonly PackedLogprobs[]): Decoded {
    const decoded: Decoded = []
    for (const list of lists) this.#decodeSome(list, { at: 0, end: list.length, into: decoded })
    return decoded
  }

  /** As `decode`, letting others run in between where there is much of it. */
  async decodeInTurns(lists: readonly PackedLogprobs[]): Promise<Decoded> {
    const length = lists.reduce((total, list) => total + list.length, 0)
    if (length <= maxDecodedAtOnce) return this.decode(lists)
    const decoded: Decoded = []
    let [next, at] = [0, 0]
    const decodeSlice = (): void => {
      for (let left = maxDecodedAtOnce; left > 0 && next < lists.length;) {
        const list = lists[next]!
        const end = this.#decodeSome(list, { at, end: Math.min(at + left, list.length), into: decoded })
        left -= end - at
        at = end
        if (end < list.length) continue
        at = 0
        next++
      }
    }
    while (next < lists.length) await this.#turns.run(decodeSlice, { caller: lists })
    return decoded
  }

  /** Tokens that begin before `end`. @returns where the next one begins */
  #decodeSome(list: PackedLogprobs, { at, end, into }: { at: number; end: number; into: Decoded }): number {
    for (; at < end; at = tokenEnd(list, at)) {
      const token = unpackToken(list, at)
      into.push(
        token && { chosen: this.#decodeOne(token.chosen), top: token.top.map((logprob) => this.#decodeOne(logprob)) },
      )
    }
    return at
  }

  #decodeOne({ tokenId, logprob, rank }: Logprob): DecodedLogprob {
    return { tokenId, logprob, rank, ...(this.#tokens[tokenId] ??= this.#decodeToken(tokenId)) }
  }

  #decodeToken(tokenId: number): TokenText {
    const bytes = this.tokenizer.tokenBytes(tokenId)
    return { token: this.#utf8.decode(bytes), bytes: Object.freeze(Array.from(bytes)) }
  }
}
