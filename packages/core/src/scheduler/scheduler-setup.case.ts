import { KvCacheManager } from '../kv-cache/kv-cache-manager.ts'
import { testRequest, type TestRequestOptions } from '../sequence/sequence-request.case.ts'
import { assert } from '../util/assert.ts'
import { Scheduler, type SchedulerParts } from './scheduler.ts'
import { resolveSchedulerConfig, type SchedulerConfigInput } from './scheduler-config.ts'
import type { ModelRunnerOutput, SchedulerOutput } from './scheduler-output.ts'
import type { SequenceUpdate } from './sequence-update.ts'

export interface Setup {
  readonly scheduler: Scheduler
  readonly kvCache: KvCacheManager
}

export function setup(overrides: Partial<SchedulerConfigInput> = {}, parts: SchedulerParts = {}): Setup {
  const config = resolveSchedulerConfig({
    numBlocks: 1000,
    maxModelLen: 4000,
    maxNumBatchedTokens: 4000,
    maxNumSeqs: 16,
    ...overrides,
  })
  const kvCache = new KvCacheManager(config)
  return { scheduler: new Scheduler(config, { kvCache, clock: () => 5, ...parts }), kvCache }
}

export function add(scheduler: Scheduler, id: string, options: TestRequestOptions = {}): void {
  scheduler.addSequence(testRequest(id, options))
}

/** As if the same token had been sampled for all; the scheduler takes what it wants. */
export function outputOf(plan: SchedulerOutput, tokenId = 9): ModelRunnerOutput {
  return {
    sampled: plan.scheduled.map(({ id }) => ({ id, tokenIds: [tokenId], logprobs: null })),
    promptLogprobs: [],
    failed: [],
  }
}

export function schedule(scheduler: Scheduler): SchedulerOutput {
  const plan = scheduler.schedule()
  assert(plan !== null, 'everything is in flight')
  return plan
}

export function step(scheduler: Scheduler, tokenId = 9): { plan: SchedulerOutput; updates: SequenceUpdate[] } {
  const plan = schedule(scheduler)
  return { plan, updates: scheduler.updateFromOutput(plan, outputOf(plan, tokenId)) }
}

export function scheduledIn(plan: SchedulerOutput): Record<string, number> {
  return Object.fromEntries(plan.scheduled.map(({ id, numTokens }) => [id, numTokens]))
}
