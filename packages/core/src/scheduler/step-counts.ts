import { Histogram } from '../util/histogram.ts'
import { type DraftStats, type SchedulerStats, stepTokenBounds } from './scheduler-stats.ts'

/** Counts steps, what they computed, and what became of drafts. */
export class StepCounts {
  readonly #tokens = new Histogram(stepTokenBounds)
  readonly #acceptedPerPosition: number[] = []
  readonly #hasDrafts: boolean
  #numSteps = 0
  #numDrafts = 0
  #numDraftTokens = 0

  constructor({ hasDrafts }: { readonly hasDrafts: boolean }) {
    this.#hasDrafts = hasDrafts
  }

  addStep({ numTokens }: { readonly numTokens: number }): void {
    this.#numSteps++
    if (numTokens > 0) this.#tokens.observe(numTokens)
  }

  /** Of one sequence in one step. */
  addDrafts(numTokens: number, numAccepted: number): void {
    if (numTokens === 0) return
    this.#numDrafts++
    this.#numDraftTokens += numTokens
    while (this.#acceptedPerPosition.length < numTokens) this.#acceptedPerPosition.push(0)
    for (let i = 0; i < numAccepted; i++) this.#acceptedPerPosition[i]!++
  }

  stats(): Pick<SchedulerStats, 'numSteps' | 'stepTokens' | 'drafts'> {
    return {
      numSteps: this.#numSteps,
      stepTokens: this.#tokens.counts(),
      drafts: this.#hasDrafts ? this.#draftStats() : null,
    }
  }

  #draftStats(): DraftStats {
    return {
      numDrafts: this.#numDrafts,
      numDraftTokens: this.#numDraftTokens,
      numAcceptedTokens: this.#acceptedPerPosition.reduce((total, count) => total + count, 0),
      numAcceptedPerPosition: this.#acceptedPerPosition.slice(),
    }
  }
}
