import type { JsonObject } from '../../util/json-object.ts'
import type { AddedToken } from '../added-tokens.ts'
import { malformed, property, readObject } from '../read-json.ts'
import { AddedTokenSplitter } from './added-token-splitter.ts'
import { createWordModel } from './create-word-model.ts'
import { createNormalizer, type Normalizer } from './normalizer.ts'
import { createPreTokenizer, type PreTokenizer } from './pre-tokenizer.ts'
import type { WordModel } from './word-model.ts'

/**
 * Text → token ids by tokenizer.json, equal to Rust's `tokenizers`: added tokens are cut out, what lies between is
 * normalized and split into words, and the model makes tokens of each.
 */
export class EncodingPipeline {
  readonly #added: readonly AddedToken[]
  readonly #rawTokens: AddedTokenSplitter
  readonly #normalizer: Normalizer
  readonly #preTokenizer: PreTokenizer
  readonly #model: WordModel
  /** Made at first use: it runs the normalizer. */
  #normalizedTokens: AddedTokenSplitter | null = null

  /** @throws TokenizerError naming the part that is unknown or malformed */
  constructor(json: JsonObject, added: readonly AddedToken[], idOf: ReadonlyMap<string, number>) {
    this.#added = added
    const raw = added.filter(({ isNormalized }) => !isNormalized)
    this.#rawTokens = new AddedTokenSplitter(
      raw,
      raw.map(({ content }) => content),
    )
    this.#normalizer = createNormalizer(readObject(json, 'normalizer'))
    this.#preTokenizer = createPreTokenizer(readObject(json, 'pre_tokenizer'))
    const model = readObject(json, 'model') ?? malformed('model', 'an object', property(json, 'model'))
    this.#model = createWordModel(model, idOf)
  }

  /** Whether time is bounded by the text's length, as no pattern of the file can backtrack without end. */
  get isPredictable(): boolean {
    return this.#normalizer.isPredictable && this.#preTokenizer.isPredictable
  }

  encode(text: string): number[] {
    const ids: number[] = []
    for (const { start, end, tokenId } of this.#rawTokens.split(text)) {
      if (tokenId !== null) ids.push(tokenId)
      else this.#encodeSection(text.slice(start, end), { isAtStart: start === 0, ids })
    }
    return ids
  }

  #encodeSection(raw: string, { isAtStart, ids }: { isAtStart: boolean; ids: number[] }): void {
    this.#normalizedTokens ??= this.#createNormalizedTokens()
    const text = this.#normalizer.normalize(raw)
    const keepsStart = isAtStart && this.#normalizer.keepsStart(raw)
    for (const { start, end, tokenId } of this.#normalizedTokens.split(text)) {
      if (tokenId !== null) {
        ids.push(tokenId)
        continue
      }
      const pieces = { texts: [text.slice(start, end)], isAtStart: keepsStart && start === 0 }
      const { finish } = this.#preTokenizer
      for (const piece of this.#preTokenizer.split(pieces).texts) this.#model.encode(finish(piece), ids)
    }
  }

  #createNormalizedTokens(): AddedTokenSplitter {
    const tokens = this.#added.filter(({ isNormalized }) => isNormalized)
    return new AddedTokenSplitter(
      tokens,
      tokens.map(({ content }) => this.#normalizer.normalize(content)),
    )
  }
}
