import type { SamplingState } from './sampling-state.ts'

/** Changes the logits of every sequence before its token is drawn (vLLM's name). What a request asks for comes after it, so that its bans hold. */
export interface LogitsProcessor {
  /**
   * In place. What it throws fails this sequence only. The result may depend on the sequence's own tokens and parameters,
   * and on nothing else, or outputs depend on the batch.
   *
   * @param logits one row `[vocabSize]`; -Infinity bans a token
   */
  apply(logits: Float32Array, state: SamplingState): void
}
