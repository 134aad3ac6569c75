import type { Sequence } from '../sequence/sequence.ts'

/**
 * Guesses at the next tokens of a sequence (vLLM's proposers: n-gram, suffix, draft model). They cost or save time and
 * change no token: what is sampled is compared with them. It is asked at each step in which a sequence catches up with
 * its tokens, and what it proposes need not be scheduled.
 */
export interface DraftProposer {
  /** At most `maxTokens` token ids, which is at least 1, to follow `sequence`, which is only to be read. */
  propose(sequence: Sequence, maxTokens: number): readonly number[]
}
