import type { Batch, BatchStatus, ExpiresAfter } from '@octavo/sdk/protocol'

export interface BatchError {
  readonly code: string
  readonly message: string
  readonly param: string | null
  /** Of the input; from 1 on. */
  readonly line: number | null
}

/** A batch as it is kept. */
export interface BatchRecord {
  readonly tenant: string | null
  /** What clients see of it. */
  batch: Batch
  /** The names that the files of results will have: known from the beginning, so that they are found again after a restart. */
  readonly outputId: string
  readonly errorId: string
  readonly outputExpiresAfter: ExpiresAfter | null
}

const endStatuses: readonly BatchStatus[] = ['completed', 'failed', 'expired', 'cancelled']

export function hasEnded({ batch }: BatchRecord): boolean {
  return endStatuses.includes(batch.status)
}
