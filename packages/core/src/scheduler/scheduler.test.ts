import { describe, expect, it } from 'vitest'
import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import { packLogprobs } from '../sequence/packed-logprobs.ts'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { add, outputOf, schedule, scheduledIn, setup, step } from './scheduler-setup.case.ts'

describe('one step', () => {
  it('computes whole prompts, then a token each', () => {
    const { scheduler } = setup()
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 5) })
    const { plan, updates } = step(scheduler)
    expect(scheduledIn(plan)).toEqual({ a: 20, b: 5 })
    expect(plan.numTokens).toBe(25)
    expect(plan.newSequences[0]).toMatchObject({
      id: 'a',
      tokenIds: tokenRange(0, 20),
      numPromptTokens: 20,
      blockIds: [1, 2],
      numComputedTokens: 0,
    })
    expect(updates.map(({ id, newTokenIds, finishReason }) => [id, newTokenIds, finishReason])).toEqual([
      ['a', [9], null],
      ['b', [9], null],
    ])
    const next = schedule(scheduler)
    expect(next.newSequences).toEqual([])
    expect(next.cachedSequences[0]).toEqual({
      id: 'a',
      newTokenIds: [9],
      numComputedTokens: 20,
      newBlockIds: [],
      replacedBlocks: [],
    })
    expect(scheduledIn(next)).toEqual({ a: 1, b: 1 })
  })

  it('makes plans and updates that can be cloned to another thread', () => {
    const { scheduler } = setup()
    add(scheduler, 'a')
    const { plan, updates } = step(scheduler)
    expect(structuredClone(plan)).toEqual(plan)
    expect(structuredClone(updates)).toEqual(updates)
  })

  it('splits prompts over steps within the token budget', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 16 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 20) })
    const first = step(scheduler)
    expect([scheduledIn(first.plan), first.updates]).toEqual([{ a: 16 }, []])
    const second = step(scheduler)
    expect(scheduledIn(second.plan)).toEqual({ a: 4, b: 12 })
    expect(second.updates.map(({ id }) => id)).toEqual(['a'])
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 1, b: 8 })
  })

  it('can limit long prompts so that short ones run beside them', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 16, longPrefillTokenThreshold: 8 })
    add(scheduler, 'long', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'short', { promptTokenIds: tokenRange(1, 6) })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ long: 8, short: 6 })
  })

  it('keeps prompts whole without chunked prefill', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 24, maxModelLen: 24, enableChunkedPrefill: false })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 20) })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 20 })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 1, b: 20 })
  })

  it('admits at most maxNumSeqs', () => {
    const { scheduler } = setup({ maxNumSeqs: 2 })
    for (const id of ['a', 'b', 'c']) add(scheduler, id, { params: { maxTokens: 2 } })
    expect(Object.keys(scheduledIn(step(scheduler).plan))).toEqual(['a', 'b'])
    expect(scheduler.stats()).toMatchObject({ numRunningSeqs: 2, numWaitingSeqs: 1 })
    step(scheduler)
    expect(step(scheduler).plan).toMatchObject({ droppedIds: ['a', 'b'], scheduled: [{ id: 'c' }] })
  })

  it('needs a token for whoever caught up', () => {
    const { scheduler } = setup()
    add(scheduler, 'a')
    expect(() =>
      scheduler.updateFromOutput(schedule(scheduler), { sampled: [], promptLogprobs: [], failed: [] }),
    ).toThrow(/no token was sampled/)
  })
})

describe('the end of a sequence', () => {
  it('frees its blocks, which stay in the prefix cache, and tells the runner', () => {
    const { scheduler, kvCache } = setup()
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    const { updates } = step(scheduler, 2)
    expect(updates).toEqual([
      {
        id: 'a',
        newTokenIds: [2],
        logprobs: null,
        promptLogprobs: null,
        finishReason: 'stop',
        stopReason: null,
        error: null,
        numCachedTokens: 0,
        times: { queuedMs: 5, scheduledMs: 5, firstTokenMs: 5, lastTokenMs: 5 },
      },
    ])
    expect([scheduler.hasUnfinished(), kvCache.usage]).toEqual([false, 0])
    add(scheduler, 'b', { promptTokenIds: tokenRange(0, 40) })
    const next = step(scheduler)
    expect(next.plan.droppedIds).toEqual(['a'])
    expect(scheduledIn(next.plan)).toEqual({ b: 8 })
    expect(next.updates[0]?.numCachedTokens).toBe(32)
    expect(scheduler.stats()).toMatchObject({
      promptTokens: 80,
      generationTokens: 2,
      prefixCacheQueries: 80,
      prefixCacheHits: 32,
      numSteps: 2,
    })
  })

  it('comes by stop token, maxTokens or context', () => {
    const { scheduler } = setup({ maxModelLen: 13 })
    add(scheduler, 'stop', { params: { stopTokenIds: [9] } })
    add(scheduler, 'tokens', { params: { maxTokens: 2 } })
    add(scheduler, 'context', { params: { maxTokens: null } })
    const ends = [step(scheduler), step(scheduler), step(scheduler)].map(({ updates }) =>
      updates
        .filter(({ finishReason }) => finishReason !== null)
        .map(({ id, finishReason, stopReason }) => [id, finishReason, stopReason]),
    )
    expect(ends).toEqual([[['stop', 'stop', 9]], [['tokens', 'length', null]], [['context', 'length', null]]])
  })

  it('comes when one sequence fills the whole KV cache, rather than never', () => {
    const { scheduler } = setup({ numBlocks: 3, blockSize: 4 })
    expect(scheduler.maxModelLen).toBe(8)
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 6), params: { maxTokens: null } })
    step(scheduler)
    expect(step(scheduler).updates[0]?.finishReason).toBe('length')
    expect(scheduler.hasUnfinished()).toBe(false)
  })
})

describe('addSequence', () => {
  it('refuses a prompt that can never run', () => {
    const { scheduler } = setup({ numBlocks: 3, blockSize: 4, maxModelLen: 100 })
    expect(() => add(scheduler, 'a', { promptTokenIds: tokenRange(0, 100) })).toThrow(ContextLengthError)
    expect(() => add(scheduler, 'a', { promptTokenIds: tokenRange(0, 8) })).toThrow(/KV cache holds 8/)
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 7) })
  })

  it('refuses an id in use, and takes it again afterwards', () => {
    const { scheduler } = setup()
    add(scheduler, 'a')
    expect(() => add(scheduler, 'a')).toThrow(InvalidRequestError)
    scheduler.abortSequence('a')
    add(scheduler, 'a')
  })
})

describe('abortSequence', () => {
  it('removes a waiting sequence', () => {
    const { scheduler } = setup()
    add(scheduler, 'a')
    expect([scheduler.abortSequence('a'), scheduler.abortSequence('a'), scheduler.hasUnfinished()]).toEqual([
      true,
      false,
      false,
    ])
    expect(schedule(scheduler)).toMatchObject({ scheduled: [], droppedIds: [] })
  })

  it('frees a running sequence at once', () => {
    const { scheduler, kvCache } = setup()
    add(scheduler, 'a')
    step(scheduler)
    scheduler.abortSequence('a')
    expect(kvCache.usage).toBe(0)
    expect(schedule(scheduler)).toMatchObject({ scheduled: [], droppedIds: ['a'] })
  })

  it('ignores the result of a step in flight, and frees the blocks after it', () => {
    const { scheduler, kvCache } = setup()
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'b')
    const plan = schedule(scheduler)
    scheduler.abortSequence('a')
    expect(kvCache.usage).toBeGreaterThan(0)
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    expect(scheduler.updateFromOutput(plan, outputOf(plan)).map(({ id }) => id)).toEqual(['b'])
    kvCache.checkIntegrity()
    // The new sequence of that name finds what the old one computed.
    const next = schedule(scheduler)
    expect(next.droppedIds).toEqual(['a'])
    expect(next.newSequences[0]).toMatchObject({ id: 'a', numComputedTokens: 32 })
  })

  it('drops a preempted sequence only once', () => {
    const { scheduler } = setup({ numBlocks: 5, blockSize: 4, enablePrefixCaching: false })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 8) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 8) })
    step(scheduler)
    expect(step(scheduler).plan.droppedIds).toEqual(['b'])
    scheduler.abortSequence('b')
    expect(step(scheduler).plan.droppedIds).toEqual([])
  })
})

describe('prefix caching', () => {
  it('lets a sequence share blocks that another computes in the same step', () => {
    const { scheduler } = setup()
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(0, 40) })
    const { plan } = step(scheduler)
    expect(scheduledIn(plan)).toEqual({ a: 40, b: 8 })
    expect(plan.newSequences.map(({ blockIds }) => blockIds)).toEqual([
      [1, 2, 3],
      [1, 2, 4],
    ])
  })

  it('shares in the same step only what that step computes', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 40, longPrefillTokenThreshold: 20 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    add(scheduler, 'b', { promptTokenIds: tokenRange(0, 40) })
    expect(schedule(scheduler).newSequences[1]).toMatchObject({ id: 'b', numComputedTokens: 16 })
  })

  it('counts one lookup per sequence, however often it is tried', () => {
    const { scheduler } = setup({ numBlocks: 4 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40), params: { maxTokens: 4 } })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 20), params: { maxTokens: 1 } })
    while (scheduler.hasUnfinished()) step(scheduler)
    expect(scheduler.stats()).toMatchObject({ prefixCacheQueries: 60, prefixCacheHits: 0 })
  })
})

describe('preemption', () => {
  const tiny = { numBlocks: 5, blockSize: 4, enablePrefixCaching: false, maxNumSeqs: 4 }

  it('recomputes the last come, with its output, when there is room again', () => {
    const { scheduler, kvCache } = setup(tiny)
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 8), params: { maxTokens: 3 } })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 8), params: { maxTokens: 3 } })
    add(scheduler, 'c', { promptTokenIds: tokenRange(2, 4), params: { maxTokens: 1 } })
    expect(scheduledIn(step(scheduler, 50).plan)).toEqual({ a: 8, b: 8 })
    const second = step(scheduler, 51)
    expect(second.plan).toMatchObject({ scheduled: [{ id: 'a', numTokens: 1 }], droppedIds: ['b'] })
    expect(scheduler.stats()).toMatchObject({
      numPreemptions: 1,
      numRunningSeqs: 1,
      numWaitingSeqs: 2,
      kvCacheUsage: 0.75,
    })
    // b was here before c: c does not overtake it although it would fit.
    expect(scheduledIn(step(scheduler, 52).plan)).toEqual({ a: 1 })
    const resumed = step(scheduler, 53)
    expect(resumed.plan.newSequences[0]).toMatchObject({
      id: 'b',
      tokenIds: [...tokenRange(1, 8), 50],
      numPromptTokens: 8,
      numComputedTokens: 0,
    })
    expect(resumed.updates.map(({ id, newTokenIds }) => [id, newTokenIds])).toEqual([
      ['b', [53]],
      ['c', [53]],
    ])
    kvCache.checkIntegrity()
  })

  it('takes the least urgent with priorities, not the last come', () => {
    const { scheduler } = setup({ ...tiny, numBlocks: 4, policy: 'priority' })
    add(scheduler, 'low', { promptTokenIds: tokenRange(0, 1), priority: 5 })
    step(scheduler)
    add(scheduler, 'middle', { promptTokenIds: tokenRange(1, 1), priority: 0 })
    add(scheduler, 'high', { promptTokenIds: tokenRange(2, 3), priority: -5 })
    expect(Object.keys(scheduledIn(step(scheduler).plan))).toEqual(['low', 'high', 'middle'])
    step(scheduler)
    // high needs a second block, and each of the three has one.
    expect(step(scheduler).plan).toMatchObject({ scheduled: [{ id: 'high' }, { id: 'middle' }], droppedIds: ['low'] })
  })

  it('admits nobody in a step that preempts, however urgent', () => {
    const { scheduler } = setup({ ...tiny, policy: 'priority' })
    add(scheduler, 'low', { promptTokenIds: tokenRange(0, 5), priority: 5 })
    step(scheduler)
    add(scheduler, 'high', { promptTokenIds: tokenRange(1, 7), priority: -5 })
    step(scheduler)
    add(scheduler, 'urgent', { promptTokenIds: tokenRange(2, 2), priority: -9 })
    step(scheduler)
    expect(step(scheduler).plan).toMatchObject({ scheduled: [{ id: 'high' }], droppedIds: ['low'] })
    expect(Object.keys(scheduledIn(step(scheduler).plan))).toEqual(['high', 'urgent'])
  })

  it('takes back what a victim was to compute in the same step: tokens and names of blocks', () => {
    const { scheduler, kvCache } = setup({ ...tiny, enablePrefixCaching: true, policy: 'priority' })
    add(scheduler, 'low', { promptTokenIds: tokenRange(0, 5), priority: 5 })
    step(scheduler)
    add(scheduler, 'high', { promptTokenIds: tokenRange(1, 7), priority: -5 })
    step(scheduler)
    step(scheduler)
    // low, first in the batch, is to compute its 8th token and fill block 2; then high needs a third block, and none is free.
    const { plan } = step(scheduler)
    expect(plan).toMatchObject({ scheduled: [{ id: 'high', numTokens: 1 }], numTokens: 1, droppedIds: ['low'] })
    const again = new Sequence(testRequest('again', { promptTokenIds: [...tokenRange(0, 5), 9, 9, 9, 9] }))
    expect(kvCache.getComputedBlocks(again).numTokens).toBe(4)
    kvCache.checkIntegrity()
  })
})

describe('admission', () => {
  it('waits until the whole prompt fits, although a chunk would', () => {
    const { scheduler } = setup({ numBlocks: 7, blockSize: 4, maxNumBatchedTokens: 16, enablePrefixCaching: false })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 8), params: { maxTokens: 2 } })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 20), params: { maxTokens: 2 } })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 8 })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 1 })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ b: 16 })
  })

  it('leaves the watermark free, unless nothing runs', () => {
    const { scheduler } = setup({ numBlocks: 9, blockSize: 4, watermark: 0.5, enablePrefixCaching: false })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20), params: { maxTokens: 1 } })
    add(scheduler, 'b', { promptTokenIds: tokenRange(1, 4) })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ a: 20 })
    expect(scheduledIn(step(scheduler).plan)).toEqual({ b: 4 })
  })
})

describe('parallel samples', () => {
  const prompt = { promptTokenIds: tokenRange(0, 10), cacheSalt: 's' }

  it('wait for the leader, share its blocks, and compute the last prompt token themselves', () => {
    const { scheduler, kvCache } = setup({ blockSize: 4, maxNumBatchedTokens: 16, enablePrefixCaching: false })
    add(scheduler, 'r-0', prompt)
    add(scheduler, 'r-1', { ...prompt, forkOf: 'r-0' })
    add(scheduler, 'r-2', { ...prompt, forkOf: 'r-0' })
    add(scheduler, 'other', { promptTokenIds: tokenRange(3, 5) })
    // Those who wait for a leader do not hold up others.
    expect(scheduledIn(step(scheduler).plan)).toEqual({ 'r-0': 10, other: 5 })
    const { plan } = step(scheduler)
    expect(scheduledIn(plan)).toEqual({ 'r-0': 1, other: 1, 'r-1': 1, 'r-2': 1 })
    expect(plan.newSequences).toMatchObject([
      { id: 'r-1', numComputedTokens: 9, blockIds: [1, 2, 6] },
      { id: 'r-2', numComputedTokens: 9, blockIds: [1, 2, 7] },
    ])
    expect(plan.blockCopies).toEqual([
      { from: 3, to: 6 },
      { from: 3, to: 7 },
    ])
    kvCache.checkIntegrity()
    expect(scheduler.stats()).toMatchObject({ promptTokens: 15, generationTokens: 6 })
  })

  it('go the ordinary way when the leader has ended', () => {
    const { scheduler } = setup({ blockSize: 4 })
    add(scheduler, 'r-0', { ...prompt, params: { maxTokens: 1 } })
    add(scheduler, 'r-1', { ...prompt, forkOf: 'r-0' })
    step(scheduler)
    const { plan } = step(scheduler)
    expect(plan.newSequences[0]).toMatchObject({ id: 'r-1', numComputedTokens: 8 })
    expect(plan.blockCopies).toEqual([])
  })

  it('keep their order while they wait', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 4, maxNumSeqs: 4, enablePrefixCaching: false })
    for (const i of [0, 1, 2, 3]) add(scheduler, `r-${i}`, { ...prompt, forkOf: i === 0 ? null : 'r-0' })
    for (let i = 0; i < 3; i++) step(scheduler)
    expect(Object.keys(scheduledIn(step(scheduler).plan))).toEqual(['r-0', 'r-1', 'r-2', 'r-3'])
  })

  it('never fork from a stranger who bears the id of their leader', () => {
    const { scheduler } = setup({ maxNumSeqs: 1, enablePrefixCaching: false })
    add(scheduler, 'r-0', prompt)
    add(scheduler, 'r-1', { ...prompt, forkOf: 'r-0' })
    scheduler.abortSequence('r-0')
    add(scheduler, 'r-0', { promptTokenIds: tokenRange(5, 30) })
    expect(schedule(scheduler).newSequences).toMatchObject([{ id: 'r-1', numComputedTokens: 0 }])
  })

  it('must have the prompt of their leader', () => {
    const { scheduler } = setup()
    add(scheduler, 'r-0', prompt)
    expect(() => add(scheduler, 'r-1', { ...prompt, cacheSalt: null, forkOf: 'r-0' })).toThrow(/different prompts/)
    expect(() => add(scheduler, 'r-1', { ...prompt, promptTokenIds: tokenRange(1, 10), forkOf: 'r-0' })).toThrow(
      /different prompts/,
    )
  })
})

describe('prompt logprobs', () => {
  it('come whole with the first token, however the prompt was cut', () => {
    const { scheduler } = setup({ maxNumBatchedTokens: 16, maxNumSeqs: 2 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 20), params: { promptLogprobs: 0 } })
    const entry = (i: number) => ({ chosen: { tokenId: i, logprob: -i, rank: 1 }, top: [] })
    const entries = Array.from({ length: 19 }, (_, i) => entry(i + 1))
    const first = schedule(scheduler)
    const firstPart = { id: 'a', startPosition: 1, entries: entries.slice(0, 16) }
    expect(scheduler.updateFromOutput(first, { sampled: [], promptLogprobs: [firstPart], failed: [] })).toEqual([])
    const second = schedule(scheduler)
    const secondPart = { id: 'a', startPosition: 17, entries: entries.slice(16) }
    const [update] = scheduler.updateFromOutput(second, { ...outputOf(second), promptLogprobs: [secondPart] })
    expect(update?.promptLogprobs).toEqual(packLogprobs([null, ...entries]))
    expect(step(scheduler).updates[0]?.promptLogprobs).toBeNull()
  })
})
