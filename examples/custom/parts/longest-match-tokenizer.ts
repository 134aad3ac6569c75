// A tokenizer that takes the longest token that fits, over the vocabulary of another one.
import type { DecodeOptions, DecodeStream, DecodeStreamOptions, Tokenizer } from '@octavo/core/tokenizer'

export class LongestMatchTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly bosToken = null
  readonly eosToken: string | null
  readonly padToken = null
  readonly unkToken = null
  readonly eosTokenId: number | null
  readonly specialTokenIds: ReadonlySet<number>
  readonly chatTemplate: string | null
  readonly #base: Tokenizer
  /** By the token's bytes, a character each. */
  readonly #ids = new Map<string, number>()
  #longest = 1

  constructor(base: Tokenizer) {
    this.#base = base
    this.vocabSize = base.vocabSize
    this.eosToken = base.eosToken
    this.eosTokenId = base.eosTokenId
    this.specialTokenIds = base.specialTokenIds
    this.chatTemplate = base.chatTemplate
    for (let id = 0; id < base.vocabSize; id++) {
      const bytes = Buffer.from(base.tokenBytes(id)).toString('latin1')
      if (bytes === '') continue
      this.#ids.set(bytes, id)
      this.#longest = Math.max(this.#longest, bytes.length)
    }
  }

  encode(text: string): number[] {
    const bytes = Buffer.from(text).toString('latin1')
    const ids: number[] = []
    for (let at = 0; at < bytes.length;) {
      let length = Math.min(this.#longest, bytes.length - at)
      while (!this.#ids.has(bytes.slice(at, at + length)) && length > 0) length--
      if (length === 0) throw new Error(`no token begins with byte ${bytes.charCodeAt(at)}`)
      ids.push(this.#ids.get(bytes.slice(at, at + length))!)
      at += length
    }
    return ids
  }

  encodePair(text: string, pair: string): { ids: number[]; typeIds: number[] } {
    const [first, second] = [this.encode(text), this.encode(pair)]
    return { ids: [...first, ...second], typeIds: [...first.map(() => 0), ...second.map(() => 1)] }
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const stream = this.createDecodeStream(options)
    return ids.map((id) => stream.push(id)).join('') + stream.flush()
  }

  createDecodeStream({ skipSpecialTokens = false }: DecodeStreamOptions = {}): DecodeStream {
    const decoder = new TextDecoder()
    return {
      push: (id) =>
        skipSpecialTokens && this.specialTokenIds.has(id)
          ? ''
          : decoder.decode(this.#base.tokenBytes(id), { stream: true }),
      flush: () => decoder.decode(),
    }
  }

  idToToken(id: number): string | null {
    return this.#base.idToToken(id)
  }

  tokenToId(token: string): number | null {
    return this.#base.tokenToId(token)
  }

  tokenBytes(id: number): Uint8Array {
    return this.#base.tokenBytes(id)
  }
}
