import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'

/** What one forward pass hands to every layer beside its input. Made once a step, not once a layer. */
export interface ForwardContext {
  /** Of the whole batch. */
  readonly metadata: AttentionMetadata
  readonly kv: KvStorage
  /**
   * Which tokens of the batch a layer's rows are, where they are not all of them in order: the head's rows, those that a
   * router sends to one expert. `null`: row `i` is token `i`.
   */
  readonly tokens: Int32Array | null
  /** For encoders with token types (BERT's segments), of the whole batch; left out: all are 0. */
  readonly tokenTypes?: Int32Array // [numTokens]
}

/** The context of some rows of a layer's input. */
export function atRows(context: ForwardContext, rows: Int32Array): ForwardContext {
  const { tokens } = context
  return { ...context, tokens: tokens === null ? rows : rows.map((row) => tokens[row]!) }
}
