import { describe, expect, it } from 'vitest'
import { tokenRange } from '../sequence/sequence-request.case.ts'
import type { Scheduler } from './scheduler.ts'
import type { SchedulerOutput } from './scheduler-output.ts'
import { add, outputOf, setup } from './scheduler-setup.case.ts'

const maxNumBatchedTokens = 96

/** Slots that plans took of those that the stages had until the last of them was done. */
interface Usage {
  readonly numPlans: number
  readonly idleShare: number
}

/**
 * Runs all sequences through stages that take one slot for any plan. As in `EngineCore`, plans are made until so many
 * are in flight as there are stages, then the oldest returns.
 */
function simulate(scheduler: Scheduler, numStages: number): Usage {
  const inFlight: { readonly plan: SchedulerOutput; readonly endsAt: number }[] = []
  const isFreeAt = new Array<number>(numStages).fill(0)
  let now = 0
  let numPlans = 0
  while (scheduler.hasUnfinished()) {
    while (inFlight.length < numStages) {
      const plan = scheduler.schedule()
      if (plan === null) break
      const endsAt = isFreeAt.reduce((start, free, stage) => (isFreeAt[stage] = Math.max(start, free) + 1), now)
      inFlight.push({ plan, endsAt })
      numPlans++
    }
    const { plan, endsAt } = inFlight.shift()!
    now = endsAt
    scheduler.updateFromOutput(plan, outputOf(plan))
  }
  return { numPlans, idleShare: 1 - numPlans / now }
}

const idleShareOf = (numPlans: number, numStages: number): number => (numStages - 1) / (numPlans + numStages - 1)

describe.each([2, 3, 4])('a pipeline of %d stages', (numStages) => {
  const pipe = (): Scheduler => setup({ maxPlansInFlight: numStages, maxNumBatchedTokens }).scheduler

  it.each([1, 2, 3, 8, 30])('idles for no more than the bubble in %d chunks of one prompt', (numChunks) => {
    const scheduler = pipe()
    const promptTokenIds = tokenRange(0, (numChunks * maxNumBatchedTokens) / numStages)
    add(scheduler, 'a', { promptTokenIds, params: { maxTokens: 1 } })
    const { numPlans, idleShare } = simulate(scheduler, numStages)
    expect(numPlans).toBe(numChunks)
    expect(idleShare).toBeCloseTo(idleShareOf(numChunks, numStages), 9)
  })

  it.each([1, 2, 5, 40])('idles for little more than the bubble where 8 sequences decode %d tokens', (maxTokens) => {
    const scheduler = pipe()
    for (let i = 0; i < 8; i++) add(scheduler, `r${i}`, { promptTokenIds: tokenRange(i, 10), params: { maxTokens } })
    const { numPlans, idleShare } = simulate(scheduler, numStages)
    expect(numPlans).toBe(maxTokens * numStages)
    expect(idleShare).toBeLessThanOrEqual(1.2 * idleShareOf(numPlans, numStages))
  })

  it('would idle for all stages but one if the first plan took all that is ready', () => {
    const { scheduler } = setup({ maxPlansInFlight: 1, maxNumBatchedTokens })
    for (let i = 0; i < 8; i++)
      add(scheduler, `r${i}`, { promptTokenIds: tokenRange(i, 10), params: { maxTokens: 40 } })
    expect(simulate(scheduler, numStages).idleShare).toBeCloseTo((numStages - 1) / numStages, 9)
  })
})
