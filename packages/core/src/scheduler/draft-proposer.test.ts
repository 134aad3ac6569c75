import { describe, expect, it, vi } from 'vitest'
import { unpackLogprobs } from '../sequence/packed-logprobs.ts'
import { tokenRange } from '../sequence/sequence-request.case.ts'
import type { DraftProposer } from './draft-proposer.ts'
import type { Scheduler } from './scheduler.ts'
import type { ModelRunnerOutput, SchedulerOutput } from './scheduler-output.ts'
import { add, outputOf, schedule, scheduledIn, setup, step } from './scheduler-setup.case.ts'
import type { SequenceUpdate } from './sequence-update.ts'

/** Proposes the same for all, however many are wanted. */
const proposing = (...tokenIds: number[]): { draftProposer: DraftProposer } => ({
  draftProposer: { propose: () => tokenIds },
})

const draftsIn = (plan: SchedulerOutput): (readonly number[] | undefined)[] =>
  plan.scheduled.map(({ draftTokenIds }) => draftTokenIds)

/** As if these tokens had been sampled for the one sequence of the plan. */
const sampledIn = (plan: SchedulerOutput, tokenIds: readonly number[]): ModelRunnerOutput => ({
  sampled: plan.scheduled.map(({ id }) => ({
    id,
    tokenIds,
    logprobs: tokenIds.map((tokenId) => ({ chosen: { tokenId, logprob: -1, rank: 1 }, top: [] })),
  })),
  promptLogprobs: [],
  failed: [],
})

function stepWith(scheduler: Scheduler, tokenIds: readonly number[]): SequenceUpdate[] {
  const plan = schedule(scheduler)
  return scheduler.updateFromOutput(plan, sampledIn(plan, tokenIds))
}

describe('drafts', () => {
  it('come with a sequence that catches up, count as tokens, and are asked for once it runs', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 16 }, proposing(7, 8))
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 24) })
    expect(schedule(scheduler)).toMatchObject({ numTokens: 16, scheduled: [{ id: 'a', numTokens: 16 }] })
    expect(scheduler.schedule()).toMatchObject({ scheduled: [{ id: 'a', numTokens: 10, draftTokenIds: [7, 8] }] })
  })

  it('leave no trace in a plan without them', () => {
    const { scheduler } = setup({}, proposing())
    add(scheduler, 'a')
    step(scheduler)
    expect(schedule(scheduler).scheduled).toEqual([{ id: 'a', numTokens: 1 }])
  })

  it('count as computed as far as they are accepted; the runner is told what was', () => {
    const { scheduler } = setup({}, proposing(7, 8, 9))
    add(scheduler, 'a')
    step(scheduler, 6)
    expect(stepWith(scheduler, [7, 8, 1])).toMatchObject([{ newTokenIds: [7, 8, 1], finishReason: null }])
    expect(schedule(scheduler)).toMatchObject({
      cachedSequences: [{ id: 'a', newTokenIds: [7, 8, 1], numComputedTokens: 13 }],
      scheduled: [{ id: 'a', numTokens: 4 }],
    })
  })

  it('are counted, by their place, and so are the tokens of a step', () => {
    const { scheduler } = setup({}, proposing(7, 8, 9))
    add(scheduler, 'a')
    step(scheduler, 6)
    expect(scheduler.stats().drafts).toMatchObject({ numDrafts: 0, numAcceptedPerPosition: [] })
    stepWith(scheduler, [7, 8, 1])
    stepWith(scheduler, [7, 1])
    expect(scheduler.stats().drafts).toEqual({
      numDrafts: 2,
      numDraftTokens: 6,
      numAcceptedTokens: 3,
      numAcceptedPerPosition: [2, 1, 0],
    })
    expect(scheduler.stats().stepTokens.sum).toBe(10 + 4 + 4)
    expect(setup({}).scheduler.stats().drafts).toBeNull()
  })

  it('are cut where the sequence ends', () => {
    const { scheduler, kvCache } = setup({}, proposing(5, 9, 2, 6))
    add(scheduler, 'a')
    step(scheduler)
    const [update] = stepWith(scheduler, [5, 9, 2, 6, 1])
    expect(update).toMatchObject({ newTokenIds: [5, 9, 2], finishReason: 'stop' })
    expect(unpackLogprobs(update!.logprobs!).map((entry) => entry?.chosen.tokenId)).toEqual([5, 9, 2])
    expect(scheduler.stats()).toMatchObject({ generationTokens: 4, kvCacheUsage: 0 })
    kvCache.checkIntegrity()
  })

  it('leave a token to sample below maxTokens and maxModelLen', () => {
    const { scheduler } = setup({ maxModelLen: 14 }, proposing(5, 6, 7, 8, 9))
    add(scheduler, 'a', { params: { maxTokens: 3 } })
    add(scheduler, 'b')
    add(scheduler, 'c', { params: { maxTokens: 2 } })
    step(scheduler, 4)
    expect(draftsIn(schedule(scheduler))).toEqual([[5], [5, 6], undefined])
  })

  it('are asked for no further than there is room', () => {
    const propose = vi.fn<DraftProposer['propose']>(() => [])
    const { scheduler } = setup({ maxNumBatchedTokens: 30 }, { draftProposer: { propose } })
    add(scheduler, 'a', { params: { maxTokens: 6 } })
    add(scheduler, 'b', { params: { maxTokens: null } })
    step(scheduler)
    step(scheduler)
    expect(propose.mock.calls.map(([{ id }, maxTokens]) => [id, maxTokens])).toEqual([
      ['a', 4],
      ['b', 28],
    ])
  })

  it('leave a token of the budget for each sequence behind', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 6, maxNumSeqs: 4 }, proposing(5, 6, 7))
    for (const id of ['a', 'b', 'c', 'd']) add(scheduler, id, { promptTokenIds: [1] })
    step(scheduler)
    expect(scheduledIn(schedule(scheduler))).toEqual({ a: 3, b: 1, c: 1, d: 1 })
  })

  it('preempt nobody, and leave a block for each sequence behind', () => {
    const { scheduler } = setup({ numBlocks: 4, maxModelLen: 48 }, proposing(5, 6, 7, 8))
    // Two blocks of three are taken; the third is for b, whose first is full.
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 14) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 15) })
    step(scheduler)
    step(scheduler)
    const plan = schedule(scheduler)
    expect(scheduledIn(plan)).toEqual({ a: 1, b: 5 })
    expect(scheduler.stats().numPreemptions).toBe(0)
  })

  it('make their sequence wait for them, whatever else is in flight', () => {
    const { scheduler } = setup({}, proposing(7, 8, 9))
    add(scheduler, 'a')
    step(scheduler)
    const first = schedule(scheduler)
    expect(draftsIn(first)).toEqual([[7, 8, 9]])
    expect(scheduler.schedule()).toBeNull()
    add(scheduler, 'b')
    const second = schedule(scheduler)
    expect(scheduledIn(second)).toEqual({ b: 10 })
    scheduler.updateFromOutput(first, sampledIn(first, [7, 4]))
    expect(schedule(scheduler)).toMatchObject({ cachedSequences: [{ id: 'a', numComputedTokens: 12 }] })
    scheduler.updateFromOutput(second, outputOf(second))
  })

  it('name blocks once they are accepted, and not before', () => {
    const { scheduler, kvCache } = setup({}, proposing(5, 6, 7, 8))
    const promptTokenIds = tokenRange(0, 13)
    add(scheduler, 'a', { promptTokenIds, params: { maxTokens: 6 } })
    step(scheduler, 4)
    const plan = schedule(scheduler)
    expect([...kvCache.cachedBlocks()]).toHaveLength(0)
    scheduler.updateFromOutput(plan, sampledIn(plan, [5, 6, 7, 8, 9]))
    expect([...kvCache.cachedBlocks()]).toHaveLength(1)
    // The sequence has ended; the next turn of its conversation finds the block.
    add(scheduler, 'b', { promptTokenIds: [...promptTokenIds, 4, 5, 6, 7, 8] })
    expect(step(scheduler).updates).toMatchObject([{ numCachedTokens: 16 }])
  })

  it('that are rejected name none, and their slots are used again', () => {
    const { scheduler, kvCache } = setup({}, proposing(5, 6, 7, 8))
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 13) })
    step(scheduler, 4)
    stepWith(scheduler, [1])
    expect([...kvCache.cachedBlocks()]).toHaveLength(0)
    expect(schedule(scheduler)).toMatchObject({ cachedSequences: [{ numComputedTokens: 14, newBlockIds: [] }] })
    kvCache.checkIntegrity()
  })

  it('come to nothing where their plan or their sequence fails', () => {
    const { scheduler } = setup({}, proposing(5, 6))
    add(scheduler, 'a')
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 10) })
    step(scheduler)
    const plan = schedule(scheduler)
    const error = { name: 'Error', message: 'it broke', stack: null, fields: {} }
    const [, sampled] = sampledIn(plan, [5, 6, 9]).sampled
    scheduler.updateFromOutput(plan, { sampled: [sampled!], promptLogprobs: [], failed: [{ id: 'a', error }] })
    expect(scheduledIn(schedule(scheduler))).toEqual({ b: 3 })
    expect(scheduler.failPlansInFlight(error)).toMatchObject([{ id: 'b', error }])
    expect(scheduler.stats().kvCacheUsage).toBe(0)
  })

  it('are more than what a runner may answer with', () => {
    const { scheduler } = setup({}, proposing(5, 6))
    add(scheduler, 'a')
    step(scheduler)
    expect(() => stepWith(scheduler, [5, 6, 7, 8])).toThrow(/4 tokens for 2 drafts/)
  })
})
