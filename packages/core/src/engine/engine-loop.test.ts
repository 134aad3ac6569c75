import { describe, expect, it } from 'vitest'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { ModelRunnerOutput } from '../scheduler/scheduler-output.ts'
import { testRequest } from '../sequence/sequence-request.case.ts'
import { EngineCore } from './engine-core.ts'
import { EngineLoop } from './engine-loop.ts'
import type { Executor } from './executor.ts'
import { Heartbeat } from './heartbeat.ts'

/** A loop over an executor that fails when the test says so, between plans or in one. */
function setup(maxPlansInFlight = 1): {
  loop: EngineLoop
  failures: unknown[]
  fail: (error: Error) => void
  numPlans: () => number
} {
  const failed = Promise.withResolvers<Error>()
  const inPlan = Promise.withResolvers<ModelRunnerOutput>()
  inPlan.promise.catch(() => {})
  let numPlans = 0
  const executor: Executor = {
    maxPlansInFlight,
    failed: failed.promise,
    initialize: () => Promise.reject(new Error('not in this test')),
    executeModel() {
      numPlans++
      return inPlan.promise
    },
    shutdown: () => Promise.resolve(),
  }
  const limits = { numBlocks: 100, maxModelLen: 400, maxNumBatchedTokens: 16, maxNumSeqs: 4 }
  const core = new EngineCore(new Scheduler({ ...limits, enablePrefixCaching: false }), executor)
  const failures: unknown[] = []
  const loop = new EngineLoop(core, new Heartbeat(), {
    onUpdates() {},
    onRejected() {},
    onFailed: (error) => void failures.push(error),
  })
  const fail = (error: Error): void => {
    failed.resolve(error)
    inPlan.reject(error)
  }
  return { loop, failures, fail, numPlans: () => numPlans }
}

it.each([1, 2])('while a plan runs takes new requests into another one, of %d at once', async (maxPlansInFlight) => {
  const { loop, fail, numPlans } = setup(maxPlansInFlight)
  loop.add([testRequest('a')])
  expect(numPlans()).toBe(1)
  loop.add([testRequest('b')])
  expect(numPlans()).toBe(maxPlansInFlight)
  fail(new Error('the test is over'))
  await loop.shutdown()
})

describe('an engine loop whose executor fails', () => {
  const error = new Error('a rank is gone')

  it('between plans hears of it, and takes nothing more', async () => {
    const { loop, failures, fail, numPlans } = setup()
    fail(error)
    await expect.poll(() => failures).toEqual([error])
    loop.add([testRequest('a')])
    expect(numPlans()).toBe(0)
  })

  it('in a plan hears of it once', async () => {
    const { loop, failures, fail, numPlans } = setup()
    loop.add([testRequest('a')])
    expect(numPlans()).toBe(1)
    fail(error)
    await expect.poll(() => failures).toEqual([error])
    await loop.shutdown()
    expect(failures).toEqual([error])
  })

  it('after its end hears nothing', async () => {
    const { loop, failures, fail } = setup()
    await loop.shutdown()
    fail(error)
    await new Promise(setImmediate)
    expect(failures).toEqual([])
  })
})
