/**
 * One flattened batch of prefill and decode rows, without padding.
 *
 * Sequence `s` owns the query rows `queryStartLoc[s] .. queryStartLoc[s + 1]`; its keys are the first `seqLens[s]`
 * tokens behind its block table, the new ones included (kvWrite runs before pagedAttention).
 */
export interface AttentionMetadata {
  readonly numTokens: number
  readonly numSeqs: number
  readonly blockSize: number
  readonly queryStartLoc: Int32Array // [numSeqs + 1]
  readonly seqLens: Int32Array // [numSeqs]
  readonly blockTables: Int32Array // [numSeqs, maxBlocksPerSeq], unused entries 0
  readonly maxBlocksPerSeq: number
  readonly slotMapping: Int32Array // [numTokens]
  readonly positions: Int32Array // [numTokens], row i of sequence s has position seqLens[s] - queryLen[s] + i
  /**
   * [numSeqs], tokens of each sequence's prompt, the same in all its steps: LongRoPE models choose their angles by it.
   * Without it they go by `seqLens`, which is right only where a prompt is computed in one piece.
   */
  readonly promptLens?: Int32Array
}
