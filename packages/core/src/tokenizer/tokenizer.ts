export interface EncodeOptions {
  /** Run the post-processor (BOS and the like). Default true. Special tokens written in the text are always recognised. */
  readonly addSpecialTokens?: boolean
}

export interface DecodeOptions {
  /** Default false. */
  readonly skipSpecialTokens?: boolean
}

export interface DecodeStreamOptions extends DecodeOptions {
  /** Tokens before the first pushed one; what is pushed is decoded as their continuation. */
  readonly promptTokenIds?: readonly number[]
}

/**
 * Decodes token by token. Let D(i) be the decoding of the first i tokens. The available text after token i is D(i),
 * unless D(i) ends with U+FFFD: then it stays as it was, because the next token may complete the character.
 */
export interface DecodeStream {
  /** The text that becomes available with this token. */
  push(id: number): string
  /** How many characters (code points) that are not available yet stand before this token, the next to be pushed. Absent: not known. */
  heldBefore?(id: number): number
  /** What remains unavailable after the last token; the stream takes no tokens after it. */
  flush(): string
}

/** Text ↔ token ids: `hf-tokenizer.ts`. */
export interface Tokenizer {
  /** Ids run from 0 to `vocabSize - 1`; the model's embedding may be larger. */
  readonly vocabSize: number
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly unkToken: string | null
  readonly eosTokenId: number | null
  readonly specialTokenIds: ReadonlySet<number>
  /** The text of the checkpoint's own chat template, where it has one that is the default. */
  readonly chatTemplate: string | null
  /** `false` where patterns of a file may take for ever on some texts: nothing is then encoded on the front thread. */
  readonly isPredictable?: boolean
  /** Those of a checkpoint that has several, such as `tool_use`. */
  readonly namedTemplates?: ReadonlyMap<string, string>
  encode(text: string, options?: EncodeOptions): number[]
  encodePair(text: string, pair: string, options?: EncodeOptions): { ids: number[]; typeIds: number[] }
  /** Bytes that are not UTF-8 become U+FFFD. */
  decode(ids: readonly number[], options?: DecodeOptions): string
  createDecodeStream(options?: DecodeStreamOptions): DecodeStream
  /** The token as written in the vocabulary, or `null` where the id has none. */
  idToToken(id: number): string | null
  tokenToId(token: string): number | null
  /** The bytes of text that a token stands for (perhaps part of a character); empty where the id has no token. */
  tokenBytes(id: number): Uint8Array
  /** `false` where a token's text depends on the tokens around it: then no grammar can hold an output. */
  readonly hasTokenBytes?: boolean
}
