import type { Sequence } from '../sequence/sequence.ts'
import { ceilDiv } from '../util/math.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

/** What one plan may take at most, so that those in flight beside it find something too. */
export interface PlanShare {
  readonly numTokens: number
  /** Running sequences that decode. */
  readonly numDecodes: number
  /** Waiting sequences. */
  readonly numAdmissions: number
}

export interface PlanShareState {
  readonly running: readonly Sequence[]
  readonly numWaiting: number
  readonly numPlansInFlight: number
}

/** Its next token is all that it needs, now or once the plan returns that has it. */
export function isDecoding(sequence: Sequence): boolean {
  return sequence.numTokens - sequence.numComputedTokens <= 1
}

/**
 * Splits the work over the plans that are in flight at once, so that every stage of a pipeline has one.
 *
 * No plan decodes more than an equal part of all sequences that decode, in flight or not: uneven parts, such as 1 and 7,
 * even out as their plans return. While fewer plans are in flight than may be, it takes an equal part of those that are
 * ready, and of those that wait, for each plan still to come. The token budget is split too, so that the chunks of one
 * long prompt follow each other through the stages; a prompt that may only go in one piece needs all of it.
 */
export function planShare(config: SchedulerConfig, state: PlanShareState): PlanShare {
  const { maxPlansInFlight, maxNumBatchedTokens, enableChunkedPrefill } = config
  if (maxPlansInFlight === 1) return { numTokens: maxNumBatchedTokens, numDecodes: Infinity, numAdmissions: Infinity }
  const decoding = state.running.filter(isDecoding)
  const numReady = decoding.filter((sequence) => !sequence.isCaughtUp).length
  const numPlansToCome = Math.max(1, maxPlansInFlight - state.numPlansInFlight)
  return {
    numTokens: enableChunkedPrefill ? ceilDiv(maxNumBatchedTokens, maxPlansInFlight) : maxNumBatchedTokens,
    numDecodes: Math.min(ceilDiv(numReady, numPlansToCome), ceilDiv(decoding.length, maxPlansInFlight)),
    numAdmissions: ceilDiv(state.numWaiting, numPlansToCome),
  }
}
