import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import type { Scheduler } from './scheduler.ts'
import type { SchedulerOutput } from './scheduler-output.ts'
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

/** As `EngineCore` does: as many plans as may be in flight, of which the oldest returns. */
class Pipe {
  readonly scheduler: Scheduler
  readonly #plans: SchedulerOutput[] = []

  constructor(maxPlansInFlight: number, maxNumBatchedTokens = 4000) {
    this.scheduler = setup({ maxPlansInFlight, maxNumBatchedTokens }).scheduler
  }

  /** How many sequences each plan in flight has, oldest first. */
  fill(): number[] {
    while (this.#plans.length < this.scheduler.config.maxPlansInFlight) {
      const plan = this.scheduler.schedule()
      if (plan === null) break
      this.#plans.push(plan)
    }
    return this.#plans.map(({ scheduled }) => scheduled.length).filter((numSeqs) => numSeqs > 0)
  }

  return(): void {
    const plan = this.#plans.shift()
    if (plan !== undefined) this.scheduler.updateFromOutput(plan, outputOf(plan))
  }

  /** So many plans later. */
  turn(numPlans: number): number[] {
    for (let i = 0; i < numPlans; i++) {
      this.return()
      this.fill()
    }
    return this.fill()
  }
}

function addAll(scheduler: Scheduler, ids: readonly string[], maxTokens = 50): void {
  for (const id of ids)
    add(scheduler, id, { promptTokenIds: tokenRange(Number(id.slice(1)), 10), params: { maxTokens } })
}

const names = (start: number, end: number): string[] => Array.from({ length: end - start }, (_, i) => `r${start + i}`)

describe('the running sequences', () => {
  it('are split over the plans in flight, and split anew as they end and arrive', () => {
    const pipe = new Pipe(2)
    addAll(pipe.scheduler, names(0, 8))
    expect(pipe.fill()).toEqual([4, 4])
    for (let i = 0; i < 5; i++) expect(pipe.turn(1)).toEqual([4, 4])
    // Two of one plan end.
    const [first, second] = names(0, 2)
    for (const id of [first!, second!]) pipe.scheduler.abortSequence(id)
    expect(pipe.turn(4)).toEqual([3, 3])
    addAll(pipe.scheduler, names(8, 10))
    expect(pipe.turn(4)).toEqual([4, 4])
    for (const id of names(2, 7)) pipe.scheduler.abortSequence(id)
    expect(pipe.turn(4).toSorted()).toEqual([1, 2])
  })

  it('even out where one plan has one of them and the other seven', () => {
    const pipe = new Pipe(2)
    addAll(pipe.scheduler, names(0, 1))
    expect(pipe.fill()).toEqual([1])
    addAll(pipe.scheduler, names(1, 8))
    expect(pipe.fill()).toEqual([1, 7])
    expect(pipe.turn(1)).toEqual([7, 1])
    expect(pipe.turn(1)).toEqual([1, 4])
    expect(pipe.turn(1)).toEqual([4, 4])
  })

  it('all run in one plan where one is in flight at a time', () => {
    const pipe = new Pipe(1)
    addAll(pipe.scheduler, names(0, 8))
    expect([pipe.fill(), pipe.turn(1)]).toEqual([[8], [8]])
  })

  it('keep all plans in flight that they are enough for, in equal parts', () => {
    const event = fc.record({ arrivals: fc.integer({ min: 0, max: 5 }), ends: fc.array(fc.nat(100), { maxLength: 3 }) })
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 4 }), fc.array(event, { maxLength: 12 }), (depth, events) => {
        const pipe = new Pipe(depth)
        let alive: string[] = []
        let next = 0
        for (const { arrivals, ends } of events) {
          const arrived = names(next, next + Math.min(arrivals, 16 - alive.length))
          next += arrived.length
          addAll(pipe.scheduler, arrived, 3000)
          alive.push(...arrived)
          pipe.turn(1)
          for (const pick of ends) {
            const id = alive[pick % alive.length]
            if (id === undefined) continue
            pipe.scheduler.abortSequence(id)
            alive = alive.filter((other) => other !== id)
          }
          pipe.turn(1)
        }
        // A plan that was cut short by aborts is gone after one round, and after the next the parts are equal.
        const parts = pipe.turn(3 * depth)
        expect(parts).toHaveLength(Math.min(depth, alive.length))
        expect(parts.reduce((sum, part) => sum + part, 0)).toBe(alive.length)
        expect(Math.max(0, ...parts)).toBe(Math.ceil(alive.length / depth))
      }),
      { numRuns: 300 },
    )
  })
})

describe('the token budget', () => {
  it('is split over the plans in flight, so that the chunks of one prompt follow each other', () => {
    const { scheduler } = setup({ maxPlansInFlight: 3, maxNumBatchedTokens: 48 })
    add(scheduler, 'a', { promptTokenIds: tokenRange(0, 40) })
    expect([schedule(scheduler), schedule(scheduler), schedule(scheduler)].map(scheduledIn)).toEqual([
      { a: 16 },
      { a: 16 },
      { a: 8 },
    ])
  })

  it('is whole for each plan where prompts must not be cut', () => {
    const { scheduler } = setup({
      maxPlansInFlight: 2,
      maxNumBatchedTokens: 48,
      maxModelLen: 48,
      enableChunkedPrefill: false,
    })
    for (const i of [0, 1]) add(scheduler, `r${i}`, { promptTokenIds: tokenRange(i, 40) })
    expect([schedule(scheduler), schedule(scheduler)].map(scheduledIn)).toEqual([{ r0: 40 }, { r1: 40 }])
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
