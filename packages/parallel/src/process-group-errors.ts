import { OctavoError } from '@octavo/core'

/** What ranks say to each other failed; the group is of no use any more. */
export class CommunicationError extends OctavoError {
  /** The rank that says so, in the world. */
  readonly rank: number
  /** As the group names it: `allReduce`. */
  readonly operation: string

  constructor(call: FailedCall, message: string, options?: ErrorOptions) {
    super('communication_error', `${call.operation} on rank ${call.rank} of ${call.worldSize}: ${message}`, options)
    this.rank = call.rank
    this.operation = call.operation
  }
}

/** Who called what. */
export interface FailedCall {
  readonly rank: number
  readonly worldSize: number
  readonly operation: string
}

/** The others did not come before the deadline. The rank that waited has ended the group for all. */
export class CollectiveTimeoutError extends CommunicationError {
  readonly timeoutMs: number
  /** Who did not come, in the world; empty where the backend cannot tell. */
  readonly missingRanks: readonly number[]

  constructor(call: FailedCall, timeoutMs: number, missingRanks: readonly number[]) {
    const whom = missingRanks.length === 0 ? 'the other ranks' : nameRanks(missingRanks)
    super(
      call,
      `waited ${timeoutMs} ms for ${whom}. A rank that is only slow needs a longer timeoutMs; otherwise look at what ended or stopped it.`,
    )
    this.timeoutMs = timeoutMs
    this.missingRanks = missingRanks
  }
}

/** Another rank, or whoever watches them, ended the group. */
export class ProcessGroupAbortedError extends CommunicationError {
  readonly reason: string
  /** Who ended it, in the world; `null` where it was no rank. */
  readonly abortedBy: number | null

  constructor(call: FailedCall, { reason, abortedBy }: Abort) {
    super(call, `the group was ended${abortedBy === null ? '' : ` by rank ${abortedBy}`}: ${reason}`)
    this.reason = reason
    this.abortedBy = abortedBy
  }
}

export interface Abort {
  readonly reason: string
  /** `null`: not by a rank. */
  readonly abortedBy: number | null
}

/** The ranks do not make the same calls, or not with the same sizes. */
export class CollectiveMismatchError extends CommunicationError {}

/** An MPI library's error code, in its own words. */
export class MpiError extends CommunicationError {
  readonly mpiCode: number

  constructor(call: FailedCall, mpiCode: number, text: string) {
    super(call, `MPI says: ${text} (code ${mpiCode})`)
    this.mpiCode = mpiCode
  }
}

/** No MPI library, one that Octavo cannot call, or not the one that started the ranks. */
export class MpiLibraryError extends OctavoError {
  constructor(message: string, options?: ErrorOptions) {
    super('communication_error', message, options)
  }
}

export function nameRanks(ranks: readonly number[]): string {
  return `rank${ranks.length === 1 ? '' : 's'} ${ranks.join(', ')}`
}
