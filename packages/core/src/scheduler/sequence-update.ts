import type { TransferredError } from '../error-transfer.ts'
import type { FinishReason } from '../sequence/outputs.ts'
import type { PooledData } from '../sequence/sequence-pooling.ts'
import type { PackedLogprobs } from '../sequence/packed-logprobs.ts'
import type { SequenceTimes } from '../sequence/sequence.ts'

/** What a step added to one sequence: plain, structured-clonable data for the front thread. */
export interface SequenceUpdate {
  readonly id: string
  /** None where the sequence failed, or is pooled. */
  readonly newTokenIds: readonly number[]
  /** One entry per new token; `null` if not asked for. */
  readonly logprobs: PackedLogprobs | null
  /** One entry per prompt token, the first `null`; only with the leader's first token, and only if asked for. */
  readonly promptLogprobs: PackedLogprobs | null
  /** Of a sequence that is pooled and has ended so. */
  readonly pooled?: PooledData
  readonly finishReason: FinishReason | null
  /** The stop token id that ended it; `null` for end-of-sequence and other reasons. */
  readonly stopReason: number | null
  /** Set with finishReason 'error', and only then. */
  readonly error: TransferredError | null
  /** Prompt tokens whose KV came from the prefix cache. */
  readonly numCachedTokens: number
  readonly times: SequenceTimes
}
