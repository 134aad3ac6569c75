import { describe, expect, it } from 'vitest'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { add, outputOf, schedule, scheduledIn, setup, step } from './scheduler-setup.case.ts'

describe('several plans in flight', () => {
  it('each go on behind the one before, and return in their order', () => {
    const { scheduler, kvCache } = setup({ maxNumBatchedTokens: 16 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20) })
    const [first, second] = [schedule(scheduler), schedule(scheduler)]
    expect([scheduledIn(first), scheduledIn(second)]).toEqual([{ a: 16 }, { a: 4 }])
    expect(second.cachedSequences).toMatchObject([{ id: 'a', newTokenIds: [], numComputedTokens: 16 }])
    expect(scheduler.schedule()).toBeNull()
    expect(() => scheduler.updateFromOutput(second, outputOf(second))).toThrow(/not the oldest/)
    kvCache.checkIntegrity()
  })

  it('may read what a plan in flight computes: cached blocks, and those of a leader', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 40 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'child', { promptTokenIds: tokenRange(0, 40), forkOf: 'a' })
    add(scheduler, 'b', { promptTokenIds: tokenRange(0, 40) })
    schedule(scheduler)
    const plan = schedule(scheduler)
    expect(plan.newSequences).toMatchObject([
      { id: 'child', numComputedTokens: 39, blockIds: [1, 2, 4] },
      { id: 'b', numComputedTokens: 32, blockIds: [1, 2, 5] },
    ])
    expect(plan.blockCopies).toEqual([{ from: 3, to: 4 }])
  })

  it('are waited for before one of their sequences is preempted', () => {
    const { scheduler } = setup({
      numBlocks: 5,
      blockSize: 4,
      maxNumSeqs: 4,
      maxNumBatchedTokens: 8,
      enablePrefixCaching: false,
    })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 8) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 8) })
    const [first, second] = [schedule(scheduler), schedule(scheduler)]
    scheduler.updateFromOutput(first, outputOf(first))
    // a needs a third block; b, the last come, is in flight.
    expect(scheduler.schedule()).toBeNull()
    scheduler.updateFromOutput(second, outputOf(second))
    expect(schedule(scheduler)).toMatchObject({ scheduled: [{ id: 'a' }], droppedIds: ['b'] })
  })

  it('keep the blocks of an aborted sequence until the last of them returns', () => {
    const { scheduler, kvCache } = setup({ maxNumBatchedTokens: 16 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 32) })
    const plans = [schedule(scheduler), schedule(scheduler)]
    scheduler.abortSequence('a')
    // The new one of that name gets nothing of the old one's output.
    add(scheduler, 'a', { promptTokenIds: tokenRange(1, 4) })
    plans.push(schedule(scheduler))
    const free = plans.map((plan) => {
      const updates = scheduler.updateFromOutput(plan, outputOf(plan))
      return [updates.length, kvCache.numFreeBlocks]
    })
    expect(free).toEqual([
      [0, 996],
      [0, 998],
      [1, 998],
    ])
  })
})

describe('a failure', () => {
  const error = { name: 'Error', message: 'NaN', stack: null, fields: {} }

  it('ends its sequence and no other, and takes back the names of the blocks it was to fill', () => {
    const { scheduler, kvCache } = setup({ maxNumBatchedTokens: 40, longPrefillTokenThreshold: 20 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 10) })
    step(scheduler)
    const plan = schedule(scheduler)
    const updates = scheduler.updateFromOutput(plan, { ...outputOf(plan), failed: [{ id: 'a', error }] })
    expect(updates.map(({ id, finishReason, newTokenIds }) => [id, finishReason, newTokenIds])).toEqual([
      ['a', 'error', []],
      ['b', null, [9]],
    ])
    expect(updates[0]).toMatchObject({ error, times: { scheduledMs: 5, firstTokenMs: null } })
    expect(
      kvCache.getComputedBlocks(new Sequence(testRequest('c', { promptTokenIds: tokenRange(0, 40) }))),
    ).toMatchObject({ numTokens: 16 })
    kvCache.checkIntegrity()
    expect(step(scheduler).plan.droppedIds).toEqual(['a'])
  })

  it('of a sequence that was aborted meanwhile is no news', () => {
    const { scheduler, kvCache } = setup()
    add(scheduler, 'a')
    const plan = schedule(scheduler)
    scheduler.abortSequence('a')
    expect(scheduler.updateFromOutput(plan, { sampled: [], promptLogprobs: [], failed: [{ id: 'a', error }] })).toEqual(
      [],
    )
    expect(kvCache.usage).toBe(0)
  })

  it('of a plan ends all that is in flight, and what it was to drop is dropped again', () => {
    const { scheduler, kvCache } = setup({ maxNumBatchedTokens: 16 })
    add(scheduler, 'gone')
    step(scheduler)
    scheduler.abortSequence('gone')
    for (const i of [0, 1]) add(scheduler, `r${i}`, { promptTokenIds: tokenRange(i, 16) })
    expect([schedule(scheduler).droppedIds, schedule(scheduler).droppedIds]).toEqual([['gone'], []])
    expect(scheduler.failPlansInFlight(error).map(({ id, finishReason }) => [id, finishReason])).toEqual([
      ['r0', 'error'],
      ['r1', 'error'],
    ])
    expect([kvCache.usage, [...kvCache.cachedBlocks()], scheduler.hasUnfinished()]).toEqual([0, [], false])
    expect(schedule(scheduler).droppedIds).toEqual(['gone', 'r0', 'r1'])
  })
})
