/** What one step computes: plain, structured-clonable data, so that it can cross to another thread or rank. */
import type { TransferredError } from '../error-transfer.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { PooledData, SequencePooling } from '../sequence/sequence-pooling.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'

/** A sequence that the runner does not hold: new, or resumed after preemption. */
export interface NewSequenceData {
  readonly id: string
  /** Prompt and, after preemption, the output so far. */
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
  readonly params: SamplingParams
  readonly eosTokenIds: readonly number[]
  readonly blockIds: readonly number[]
  readonly numComputedTokens: number
  /** As `SequenceRequest`'s, and the next. */
  readonly pooling?: SequencePooling
  readonly tokenTypeIds?: readonly number[]
}

/** A sequence that the runner holds already: what changed. */
export interface CachedSequenceData {
  readonly id: string
  /** Accepted since the plan that last had the sequence. A runner appends no token by itself, not even one that it sampled. */
  readonly newTokenIds: readonly number[]
  readonly numComputedTokens: number
  readonly newBlockIds: readonly number[]
  /** Set when copy on write replaced a block of the table: position in the table and the new block. */
  readonly replacedBlocks: readonly { readonly index: number; readonly blockId: number }[]
}

export interface ScheduledTokens {
  readonly id: string
  /** What is computed, drafts included. */
  readonly numTokens: number
  /**
   * The last of them: guesses at the tokens that follow all of the sequence's own, computed beside those. What is sampled
   * does not depend on them: they are accepted as far as they are the tokens sampled anyway. Left out where there are none.
   */
  readonly draftTokenIds?: readonly number[]
}

export interface BlockCopy {
  readonly from: number
  readonly to: number
}

/**
 * One plan is one forward pass: a sequence may attend to blocks that another one fills in the same plan, so every layer
 * writes the keys and values of all rows before any row attends.
 *
 * Several plans may be in flight. Whoever runs them runs them in order, on each rank: a plan may also read blocks that
 * the one before it fills. A sequence is in two plans at once only with different parts of its prompt; once all its
 * tokens are in flight it waits for the one that is sampled, so that every plan carries the tokens that it computes.
 */
export interface SchedulerOutput {
  readonly newSequences: readonly NewSequenceData[]
  readonly cachedSequences: readonly CachedSequenceData[]
  /** In batch order: every sequence of this step with how many tokens it computes. */
  readonly scheduled: readonly ScheduledTokens[]
  readonly numTokens: number
  /** Done in order, before the forward pass. */
  readonly blockCopies: readonly BlockCopy[]
  /** Ended, aborted or preempted since the last step: the runner drops their state, before it adds `newSequences`. */
  readonly droppedIds: readonly string[]
}

/** The tokens that follow a sequence's own: the drafts that were accepted, then the one sampled behind them. */
export interface SampledTokens {
  readonly id: string
  readonly tokenIds: readonly number[]
  /** One entry per token; `null` if not asked for. */
  readonly logprobs: readonly TokenLogprobs[] | null
}

/** Vectors of a sequence whose prompt is computed. */
export interface PooledSequence extends PooledData {
  readonly id: string
}

export interface PromptLogprobs {
  readonly id: string
  /** Entry i belongs to prompt position `startPosition + i`, startPosition ≥ 1. */
  readonly startPosition: number
  readonly entries: readonly TokenLogprobs[]
}

/** One sequence cannot go on; the others of its plan are not touched by it. */
export interface SequenceFailure {
  readonly id: string
  readonly error: TransferredError
}

export interface ModelRunnerOutput {
  /** One entry for each scheduled sequence that generates and whose computed tokens caught up with all its tokens, unless it failed or was deferred. */
  readonly sampled: readonly SampledTokens[]
  /** So of those that are pooled; left out where there are none. */
  readonly pooled?: readonly PooledSequence[]
  readonly promptLogprobs: readonly PromptLogprobs[]
  readonly failed: readonly SequenceFailure[]
  /** Sequences that caught up and got no token, as nobody knew yet which ones may come: they compute their last token again. */
  readonly deferred?: readonly string[]
}
