import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { createEngineCore } from './create-engine-core.ts'

/** Its plans run until all have been handed over. */
const source = `export const plans = []
export const createExecutor = () => ({
  maxPlansInFlight: 2,
  initialize: async () => ({
    numBlocks: 100, blockSize: 16, maxModelLen: 512, backend: 'fake', isBatchInvariant: true, weightBytes: 0,
    kvCacheBytes: 0, kvCacheDtype: 'float32', warmup: null,
  }),
  async executeModel(plan) {
    plans.push(plan)
    await new Promise((resolve) => setImmediate(resolve))
    return { sampled: plan.scheduled.map(({ id }) => ({ id, tokenIds: [9], logprobs: null })), promptLogprobs: [], failed: [] }
  },
  shutdown: async () => {},
})`
const url = `data:text/javascript,${encodeURIComponent(source)}`

describe('createEngineCore', () => {
  it('splits what runs over the plans that its executor runs at once', async () => {
    const data = {
      config: resolveEngineConfig({ model: 'octavo-tiny' }),
      modelPath: '/none',
      modules: [{ kind: 'executor' as const, name: 'fake', url }],
    }
    const { core } = await createEngineCore(data, { onProgress() {}, onLog() {} })
    const { plans }: { plans: SchedulerOutput[] } = await import(url)
    for (let i = 0; i < 8; i++) core.addSequence(testRequest(`r${i}`, { promptTokenIds: tokenRange(i, 10) }))
    for (let i = 0; i < 4; i++) expect((await core.step()).failure).toBeNull()
    expect(plans.map(({ scheduled }) => scheduled.length)).toEqual([4, 4, 4, 4, 4, 4]) // two are in flight
    await core.shutdown()
  })
})
