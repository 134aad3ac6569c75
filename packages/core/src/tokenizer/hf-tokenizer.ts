import { OctavoError, TokenizerError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import { readAddedTokens, readTokenName } from './added-tokens.ts'
import { byteFallbackValue, fromByteChars } from './byte-level.ts'
import {
  ByteStream,
  createIdStream,
  PieceStream,
  type StreamToken,
  type TokenStream,
  WholeStream,
} from './decode-streams.ts'
import { createDecoder, type Decoder } from './decoder.ts'
import { EncodingPipeline } from './encoding/encoding-pipeline.ts'
import { applyPostProcessor, createBosEosProcessor, createPostProcessor, type PostProcessor } from './post-processor.ts'
import { malformed, property, readBoolean, readObject, readString } from './read-json.ts'
import type { DecodeOptions, DecodeStream, DecodeStreamOptions, EncodeOptions, Tokenizer } from './tokenizer.ts'
import { readVocabulary } from './vocabulary.ts'

export interface TokenizerFiles {
  readonly tokenizerJson: Record<string, unknown>
  readonly tokenizerConfig: Record<string, unknown>
  /** Absent: none. */
  readonly chatTemplate?: string | null
  readonly namedTemplates?: ReadonlyMap<string, string>
}

const maxTextLength = 2 ** 26

/** Classes that build their post-processor from `add_bos_token` and `add_eos_token`, whatever tokenizer.json says. */
const bosEosClasses = /^(Llama|CodeLlama|Gemma|Cohere)Tokenizer(Fast)?$/

/**
 * The tokenizer of a Hugging Face checkpoint: `encoding/` makes ids of text, `decoder.ts` text of ids. No clean-up of spaces beyond the decoder of tokenizer.json.
 * @throws TokenizerError where a file is malformed or exceeds a limit.
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  try {
    return new HfTokenizer(files)
  } catch (error) {
    if (OctavoError.isInstance(error)) throw error
    throw new TokenizerError('tokenizer.json could not be read; the file is damaged or of an unknown version.', {
      cause: error,
    })
  }
}

class HfTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly unkToken: string | null
  readonly eosTokenId: number | null
  readonly specialTokenIds: ReadonlySet<number>
  readonly chatTemplate: string | null
  readonly namedTemplates: ReadonlyMap<string, string>

  readonly #idOf: ReadonlyMap<string, number>
  readonly #addedIdOf: ReadonlyMap<string, number>
  readonly #tokens: (string | undefined)[]
  readonly #pipeline: EncodingPipeline
  readonly #postProcessor: PostProcessor
  readonly #decoder: Decoder
  readonly #streamTokens: (StreamToken | undefined)[] = []

  constructor({ tokenizerJson: json, tokenizerConfig: config, ...templates }: TokenizerFiles) {
    const modelConfig = readObject(json, 'model') ?? malformed('model', 'an object', property(json, 'model'))
    const vocabulary = readVocabulary(modelConfig)
    const added = readAddedTokens(json, config, vocabulary.idOf)
    this.#idOf = vocabulary.idOf
    this.#addedIdOf = new Map(added.map(({ content, id }) => [content, id]))
    this.#tokens = [...vocabulary.tokens]
    for (const { id, content } of added) this.#tokens[id] = content
    this.vocabSize = this.#tokens.length
    this.specialTokenIds = new Set(added.filter(({ isSpecial }) => isSpecial).map(({ id }) => id))

    this.#pipeline = new EncodingPipeline(json, added, vocabulary.idOf)
    this.#decoder = createDecoder(readObject(json, 'decoder'))

    this.bosToken = readTokenName(config, 'bos_token')
    this.eosToken = readTokenName(config, 'eos_token')
    this.padToken = readTokenName(config, 'pad_token')
    this.unkToken = readTokenName(config, 'unk_token')
    this.eosTokenId = this.eosToken === null ? null : this.tokenToId(this.eosToken)
    this.chatTemplate = templates.chatTemplate ?? null
    this.namedTemplates = templates.namedTemplates ?? new Map()
    this.#postProcessor = this.#createPostProcessor(json, config)
  }

  get isPredictable(): boolean {
    return this.#pipeline.isPredictable
  }

  get hasTokenBytes(): boolean {
    return this.#decoder.plan.kind !== 'whole'
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    const ids = this.#encodeText(text)
    return applyPostProcessor(this.#postProcessor, { ids, pairIds: null, addSpecialTokens }).ids
  }

  encodePair(
    text: string,
    pair: string,
    { addSpecialTokens = true }: EncodeOptions = {},
  ): { ids: number[]; typeIds: number[] } {
    return applyPostProcessor(this.#postProcessor, {
      ids: this.#encodeText(text),
      pairIds: this.#encodeText(pair),
      addSpecialTokens,
    })
  }

  decode(ids: readonly number[], { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const tokens: string[] = []
    for (const id of ids) {
      const token = this.#tokens[id]
      if (token !== undefined && !(skipSpecialTokens && this.specialTokenIds.has(id))) tokens.push(token)
    }
    return this.#decoder.decode(tokens)
  }

  createDecodeStream({ skipSpecialTokens = false, promptTokenIds = [] }: DecodeStreamOptions = {}): DecodeStream {
    const tokenOf = (id: number): StreamToken | null =>
      skipSpecialTokens && this.specialTokenIds.has(id) ? null : this.#streamToken(id)
    const stream = this.#createStream()
    // Of a prompt in bytes only its last, perhaps incomplete character matters.
    let from = 0
    if (stream instanceof ByteStream) {
      from = promptTokenIds.length
      for (let numBytes = 0; from > 0 && numBytes < 4; from--)
        numBytes += tokenOf(promptTokenIds[from - 1]!)?.bytes.length ?? 0
    }
    for (let i = from; i < promptTokenIds.length; i++) {
      const token = tokenOf(promptTokenIds[i]!)
      if (token !== null) stream.push(token)
    }
    stream.startOutput()
    return createIdStream(stream, tokenOf)
  }

  idToToken(id: number): string | null {
    return this.#tokens[id] ?? null
  }

  tokenToId(token: string): number | null {
    return this.#addedIdOf.get(token) ?? this.#idOf.get(token) ?? null
  }

  tokenBytes(id: number): Uint8Array {
    return this.#streamToken(id)?.bytes ?? new Uint8Array(0)
  }

  #createStream(): TokenStream {
    const { plan } = this.#decoder
    switch (plan.kind) {
      case 'bytes':
        return new ByteStream()
      case 'pieces':
        return new PieceStream(plan)
      case 'whole':
        return new WholeStream((tokens) => this.#decoder.decode(tokens))
    }
  }

  #streamToken(id: number): StreamToken | null {
    const text = this.#tokens[id]
    if (text === undefined) return null
    return (this.#streamTokens[id] ??= { text, bytes: this.#bytesOf(text) })
  }

  #bytesOf(token: string): Uint8Array {
    const { plan } = this.#decoder
    if (plan.kind === 'bytes') return fromByteChars(token)
    if (plan.kind === 'whole') return new TextEncoder().encode(token)
    const byte = plan.hasByteFallback ? byteFallbackValue(token) : null
    return byte === null ? new TextEncoder().encode(plan.textOf(token, false)) : Uint8Array.of(byte)
  }

  #encodeText(text: string): number[] {
    if (text.length > maxTextLength)
      throw new TokenizerError(
        `The text has ${text.length} characters; at most ${maxTextLength} can be tokenized at once.`,
      )
    if (text === '') return []
    try {
      // A lone surrogate has no UTF-8 form.
      return this.#pipeline.encode(text.toWellFormed())
    } catch (error) {
      // Patterns of tokenizer.json may exceed the regular expression engine's stack on very long words.
      if (error instanceof RangeError)
        throw new TokenizerError(`The text (${text.length} characters) is too long for this tokenizer's patterns.`, {
          cause: error,
        })
      throw error
    }
  }

  #createPostProcessor(json: JsonObject, config: JsonObject): PostProcessor {
    const addsBos = readBoolean(config, 'add_bos_token')
    const addsEos = readBoolean(config, 'add_eos_token')
    const isBosEosClass = bosEosClasses.test(readString(config, 'tokenizer_class') ?? '')
    if (!isBosEosClass || (addsBos === null && addsEos === null))
      return createPostProcessor(readObject(json, 'post_processor'))
    const bosId = (addsBos ?? true) && this.bosToken !== null ? this.tokenToId(this.bosToken) : null
    return createBosEosProcessor(bosId, (addsEos ?? false) ? this.eosTokenId : null)
  }
}
