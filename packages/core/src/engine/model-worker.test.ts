import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { wholeMachine } from '../backends/backend-pack.ts'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { InvalidConfigError } from '../errors.ts'
import { singleRank } from '../layers/communicator.ts'
import { ReplayGroup } from '../layers/replay-group.case.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import type { SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { ModelWorker } from './model-worker.ts'
import type { ModelWorkerOptions } from './model-worker.ts'

const modelPath = fileURLToPath(new URL('../../../../fixtures/models/mixtral', import.meta.url))
const config = resolveEngineConfig({ model: modelPath, backend: 'cpu' })
const tokenIds = [5, 250, 33, 17, 99]
const plan: SchedulerOutput = {
  newSequences: [
    {
      id: 'a',
      tokenIds,
      numPromptTokens: tokenIds.length,
      params: { ...defaultSamplingParams, temperature: 0 },
      eosTokenIds: [],
      blockIds: [1],
      numComputedTokens: 0,
    },
  ],
  cachedSequences: [],
  scheduled: [{ id: 'a', numTokens: tokenIds.length }],
  numTokens: tokenIds.length,
  blockCopies: [],
  droppedIds: [],
}

const poolingPlan: SchedulerOutput = {
  ...plan,
  newSequences: plan.newSequences.map((data) => ({
    ...data,
    id: 'b',
    pooling: { head: 'embed', type: 'mean', dimensions: null, activation: 'none' },
  })),
  scheduled: [{ id: 'b', numTokens: tokenIds.length }],
  droppedIds: ['a'],
}

function create(options: Partial<ModelWorkerOptions>): ModelWorker {
  return new ModelWorker({ config, modelPath, communicator: singleRank, share: wholeMachine, ...options })
}

describe('ModelWorker', () => {
  it.each(['tp', 'ep', 'tp and ep'])('is one of two ranks (%s), of which the first draws', async (kind) => {
    const whole = create({})
    const { weightBytes } = await whole.load()
    whole.createKvCache(4)
    const expected = whole.execute(plan)
    whole.dispose()
    const group = new ReplayGroup(2)
    const workers = group.communicators.map((communicator) =>
      create({
        ...(kind !== 'ep' && { communicator }),
        ...(kind !== 'tp' && { expertCommunicator: communicator }),
      }),
    )
    for (const worker of workers) {
      expect((await worker.load()).weightBytes).toBeLessThan(weightBytes * (kind === 'ep' ? 0.75 : 0.6))
      worker.createKvCache(4)
      expect(worker.expertBalance).toBe(null)
    }
    const [first, second] = group.run((rank) => workers[rank]!.execute(plan))
    expect(first).toEqual(expected)
    expect(second).toEqual({ sampled: [], promptLogprobs: [], failed: [] })
    const [pooled, silent] = group.run((rank) => workers[rank]!.execute(poolingPlan))
    expect(pooled!.pooled).toMatchObject([{ id: 'b', shape: [64] }])
    expect(silent).toEqual(second)
    const numRanks = kind === 'tp' ? undefined : 2
    for (const worker of workers) {
      expect(worker.expertBalance?.rowsPerRank.length).toBe(numRanks)
      worker.dispose()
    }
  })

  it('refuses to be one of ranks that cannot share the model', async () => {
    const [communicator] = new ReplayGroup(3).communicators
    await expect(create({ communicator: communicator! }).load()).rejects.toThrow(InvalidConfigError)
  })
})
