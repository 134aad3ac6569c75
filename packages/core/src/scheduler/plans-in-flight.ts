import type { Sequence } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import type { SchedulerOutput } from './scheduler-output.ts'
import type { StepEntry } from './step-plan.ts'

/** What a plan in flight does for one sequence. An entry, and not an id, says whose output comes back: ids may be used again. */
export interface InFlightEntry {
  readonly sequence: Sequence
  /** The sequence's `numComputedTokens` before the plan. */
  readonly start: number
  /** The plan catches up with all tokens of the sequence, so that the next one is sampled. */
  readonly isCatchingUp: boolean
  readonly numDraftTokens: number
}

interface InFlightPlan {
  readonly plan: SchedulerOutput
  readonly entries: readonly InFlightEntry[]
}

/** The plans that were scheduled and have not returned, oldest first. They return in that order. */
export class PlansInFlight {
  readonly #plans: InFlightPlan[] = []

  get size(): number {
    return this.#plans.length
  }

  /** From now on its tokens count as computed: the next plan goes on behind them. Drafts do not before they are accepted. */
  add(plan: SchedulerOutput, steps: readonly StepEntry[], nowMs: number): void {
    const entries = steps.map(({ sequence, numTokens, draftTokenIds }): InFlightEntry => {
      const start = sequence.numComputedTokens
      const numDraftTokens = draftTokenIds?.length ?? 0
      sequence.numComputedTokens += numTokens - numDraftTokens
      sequence.numPlannedTokens = sequence.numTokens
      sequence.numPlansInFlight++
      if (sequence.times.scheduledMs === null) sequence.times = { ...sequence.times, scheduledMs: nowMs }
      return { sequence, start, isCatchingUp: sequence.isCaughtUp, numDraftTokens }
    })
    this.#plans.push({ plan, entries })
  }

  /** Takes out the oldest, which must be this one. */
  take(plan: SchedulerOutput): readonly InFlightEntry[] {
    const oldest = this.#plans.shift()
    assert(oldest?.plan === plan, 'update from a plan that is not the oldest in flight')
    for (const { sequence } of oldest.entries) sequence.numPlansInFlight--
    return oldest.entries
  }

  /** The oldest; `null` if none is in flight. */
  peek(): SchedulerOutput | null {
    return this.#plans[0]?.plan ?? null
  }
}
