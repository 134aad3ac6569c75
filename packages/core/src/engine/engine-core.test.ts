import { describe, expect, it } from 'vitest'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { EngineCore } from './engine-core.ts'
import type { Executor } from './executor.ts'

/** Plans end when the test says so. */
class ManualExecutor implements Executor {
  readonly maxPlansInFlight: number
  readonly plans: SchedulerOutput[] = []
  readonly #ends: PromiseWithResolvers<ModelRunnerOutput>[] = []

  constructor(maxPlansInFlight: number) {
    this.maxPlansInFlight = maxPlansInFlight
  }

  initialize(): never {
    throw new Error('not in this test')
  }

  executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    const end = Promise.withResolvers<ModelRunnerOutput>()
    this.plans.push(plan)
    this.#ends.push(end)
    return end.promise
  }

  /** As if the token had been sampled for all. */
  end(index: number, tokenId: number): void {
    const sampled = this.plans[index]!.scheduled.map(({ id }) => ({ id, tokenIds: [tokenId], logprobs: null }))
    this.#ends[index]!.resolve({ sampled, promptLogprobs: [], failed: [] })
  }

  fail(index: number, error: Error): void {
    this.#ends[index]!.reject(error)
  }

  shutdown(): Promise<void> {
    return Promise.resolve()
  }
}

function setup(maxPlansInFlight: number): { core: EngineCore; executor: ManualExecutor; scheduler: Scheduler } {
  const scheduler = new Scheduler({
    numBlocks: 100,
    maxModelLen: 400,
    maxNumBatchedTokens: 16,
    maxNumSeqs: 4,
    enablePrefixCaching: false,
  })
  const executor = new ManualExecutor(maxPlansInFlight)
  return { core: new EngineCore(scheduler, executor), executor, scheduler }
}

const ids = (plan: SchedulerOutput | undefined): unknown[] =>
  plan?.scheduled.map(({ id, numTokens }) => [id, numTokens]) ?? []

describe('EngineCore', () => {
  it('has one plan in flight where the executor runs one', async () => {
    const { core, executor } = setup(1)
    core.addSequence(testRequest('a', { promptTokenIds: tokenRange(0, 20) }))
    const first = core.step()
    expect(executor.plans.map(ids)).toEqual([[['a', 16]]])
    executor.end(0, 7)
    expect(await first).toEqual({ updates: [], numTokens: 16, failure: null })
    const second = core.step()
    executor.end(1, 7)
    expect((await second).updates).toMatchObject([{ id: 'a', newTokenIds: [7] }])
  })

  it('fills the executor before it waits, with what does not depend on plans in flight', async () => {
    const { core, executor } = setup(3)
    core.addSequence(testRequest('a', { promptTokenIds: tokenRange(0, 20) }))
    core.addSequence(testRequest('b', { promptTokenIds: tokenRange(1, 14) }))
    const first = core.step()
    // Then all tokens are in flight.
    expect(executor.plans.map(ids)).toEqual([
      [['a', 16]],
      [
        ['a', 4],
        ['b', 12],
      ],
      [['b', 2]],
    ])
    // Younger plans may end first; updates come in the order of the plans.
    executor.end(1, 7)
    executor.end(0, 5)
    expect((await first).updates).toEqual([])
    expect((await core.step()).updates).toMatchObject([{ id: 'a', newTokenIds: [7] }])
    const third = core.step()
    expect(ids(executor.plans[3])).toEqual([['a', 1]])
    expect(executor.plans[3]?.cachedSequences[0]).toMatchObject({ id: 'a', newTokenIds: [7], numComputedTokens: 20 })
    executor.end(2, 8)
    expect((await third).updates).toMatchObject([{ id: 'b', newTokenIds: [8] }])
  })

  it('sends the plan that takes the place of one before anybody hears of its tokens', async () => {
    const { core, executor } = setup(2)
    for (const [i, id] of ['a', 'b'].entries()) core.addSequence(testRequest(id, { promptTokenIds: tokenRange(i, 16) }))
    const first = core.step()
    executor.end(0, 7)
    expect((await first).updates).toMatchObject([{ id: 'a', newTokenIds: [7] }])
    expect(executor.plans.map(ids)).toEqual([[['a', 16]], [['b', 16]], [['a', 1]]])
  })

  it('takes what is new into a plan beside the one that runs, if the executor runs several', () => {
    for (const maxPlansInFlight of [1, 2]) {
      const { core, executor } = setup(maxPlansInFlight)
      core.addSequence(testRequest('a', { promptTokenIds: tokenRange(0, 16) }))
      void core.step()
      core.addSequence(testRequest('b', { promptTokenIds: tokenRange(1, 16) }))
      core.fillBesides()
      expect(executor.plans.map(ids)).toEqual([[['a', 16]], [['b', 16]]].slice(0, maxPlansInFlight))
    }
  })

  it('ends what was in flight when the executor loses a plan, once nothing runs, and goes on with the rest', async () => {
    const { core, executor, scheduler } = setup(2)
    for (const [i, id] of ['a', 'b', 'c'].entries())
      core.addSequence(testRequest(id, { promptTokenIds: tokenRange(i, 16) }))
    const failure = new Error('a rank is gone')
    let isOver = false
    const step = core.step().finally(() => (isOver = true))
    executor.fail(0, failure)
    await new Promise((resolve) => setImmediate(resolve))
    expect([isOver, scheduler.stats().kvCacheUsage > 0]).toEqual([false, true])
    executor.fail(1, new Error('so is this'))
    const result = await step
    expect(result.failure).toBe(failure)
    expect(result.updates).toMatchObject(
      ['a', 'b'].map((id) => ({ id, finishReason: 'error', error: { message: 'a rank is gone' } })),
    )
    expect(scheduler.stats()).toMatchObject({ kvCacheUsage: 0, numRunningSeqs: 0, numWaitingSeqs: 1 })
    const next = core.step()
    expect(executor.plans[2]).toMatchObject({ scheduled: [{ id: 'c' }], droppedIds: ['a', 'b'] })
    executor.end(2, 7)
    expect((await next).updates).toMatchObject([{ id: 'c', newTokenIds: [7] }])
  })

  it('has work until the plans of aborted sequences have returned', async () => {
    const { core, executor, scheduler } = setup(2)
    core.addSequence(testRequest('a', { promptTokenIds: tokenRange(0, 32) }))
    const step = core.step()
    core.abortSequence('a')
    executor.end(0, 7)
    expect((await step).updates).toEqual([])
    expect([core.hasWork, scheduler.stats().kvCacheUsage > 0]).toEqual([true, true])
    executor.end(1, 7)
    expect((await core.step()).updates).toEqual([])
    expect([core.hasWork, scheduler.stats().kvCacheUsage]).toEqual([false, 0])
  })
})
