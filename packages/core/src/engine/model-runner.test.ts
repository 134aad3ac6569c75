import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { loadFixture, readFixtureConfig } from '../models/load-fixture.case.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import type { Sampler } from '../sampling/sampler.ts'
import { defaultSamplingParams, type SamplingParams } from '../sampling-params.ts'
import type { ModelRunnerOutput, NewSequenceData, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { ModelRunner } from './model-runner.ts'

const vocabSize = 8

/** Its logits are one-hot at the input id plus 1; those of id 5 are NaN. */
const successor = {
  config: { vocabSize },
  forward: (ids: Int32Array) => tf.tensor2d(Float32Array.from(ids), [ids.length, 1]),
  computeLogits: (hidden: tf.Tensor2D) => {
    const rows = Array.from(hidden.dataSync<'float32'>(), (id) =>
      Array.from({ length: vocabSize }, (_, token) => (id === 5 ? NaN : token === id + 1 ? 9 : 0)),
    )
    return tf.tensor2d(rows)
  },
} as unknown as CausalLM

const kv = { layout: { blockSize: 4 } } as unknown as KvStorage

function sequence(id: string, tokenIds: number[], params: Partial<SamplingParams> = {}): NewSequenceData {
  return {
    id,
    tokenIds,
    numPromptTokens: tokenIds.length,
    params: { ...defaultSamplingParams, temperature: 0, ...params },
    eosTokenIds: [],
    blockIds: [1, 2],
    numComputedTokens: 0,
  }
}

function planOf(newSequences: NewSequenceData[], rest: Partial<SchedulerOutput> = {}): SchedulerOutput {
  const scheduled = newSequences.map(({ id, tokenIds }) => ({ id, numTokens: tokenIds.length }))
  const numTokens = scheduled.reduce((sum, entry) => sum + entry.numTokens, 0)
  return { newSequences, cachedSequences: [], scheduled, numTokens, blockCopies: [], droppedIds: [], ...rest }
}

function withoutStacks({ failed, ...output }: ModelRunnerOutput): unknown {
  return { ...output, failed: failed.map(({ id, error }) => [id, error.name, error.message]) }
}

describe('ModelRunner', () => {
  beforeAll(async () => {
    await tf.setBackend((await createCpuPack()).name)
  })

  it('computes the tokens of the plan, and appends none by itself', () => {
    const runner = new ModelRunner({ model: successor, kv })
    const { sampled } = runner.executeModel(planOf([sequence('a', [1, 2])]))
    expect(sampled).toEqual([{ id: 'a', tokenIds: [3], logprobs: null }])
    // The plan may say otherwise than what was sampled.
    const cached = { id: 'a', newTokenIds: [6], numComputedTokens: 2, newBlockIds: [], replacedBlocks: [] }
    const next = planOf([], { cachedSequences: [cached], scheduled: [{ id: 'a', numTokens: 1 }], numTokens: 1 })
    expect(runner.executeModel(next).sampled).toEqual([{ id: 'a', tokenIds: [7], logprobs: null }])
  })

  it('computes logits and draws nothing where another rank draws', () => {
    let numCalls = 0
    const computeLogits: CausalLM['computeLogits'] = (...args) => {
      numCalls++
      return successor.computeLogits(...args)
    }
    const runner = new ModelRunner({ model: { ...successor, computeLogits }, kv, sampler: null })
    const plan = planOf([sequence('a', [1, 2]), sequence('nan', [5]), sequence('b', [1, 2], { promptLogprobs: 1 })])
    expect(runner.executeModel(plan)).toEqual({ sampled: [], promptLogprobs: [], failed: [] })
    expect(numCalls).toBe(1)
  })

  it('fails the sequences that cannot go on, and no other', () => {
    const runner = new ModelRunner({ model: successor, kv })
    const output = runner.executeModel(
      planOf([
        sequence('nan', [1, 5]),
        sequence('good', [1, 2]),
        sequence('banned', [1], { allowedTokenIds: [2], badWordsTokenIds: [[2]] }),
        sequence('beyond', [1, vocabSize], { promptLogprobs: 1 }),
        sequence('good too', [3], { promptLogprobs: 0, logprobs: 0 }),
      ]),
    )
    expect(output.sampled.map(({ id, tokenIds }) => [id, tokenIds])).toEqual([
      ['good', [3]],
      ['good too', [4]],
    ])
    expect(new Map(output.failed.map(({ id, error }) => [id, error.name]))).toEqual(
      new Map([
        ['nan', 'InvalidLogitsError'],
        ['banned', 'InvalidRequestError'],
        ['beyond', 'InvalidRequestError'],
      ]),
    )
    expect(output.failed.find(({ id }) => id === 'beyond')?.error.message).toMatch(/token 8 at position 1.* 0 to 7/)
    expect(output.promptLogprobs).toEqual([])
  })

  it('samples as it is told: a sampler of the user', () => {
    const second: Sampler = {
      sample: (logits, rows) =>
        rows.map(({ row, state }) => {
          const values = logits.row(row)
          return { tokenId: values.indexOf(Math.max(...values)) - state.numPromptTokens, logprobs: null }
        }),
    }
    const runner = new ModelRunner({ model: successor, kv, sampler: second })
    const { sampled } = runner.executeModel(planOf([sequence('a', [1, 2]), sequence('b', [4])]))
    expect(sampled.map(({ tokenIds }) => tokenIds)).toEqual([[1], [4]])
  })

  it('runs a model in stages as in one', async () => {
    const pack = await createCpuPack()
    const { numLayers } = readFixtureConfig('llama')
    const runnerOf = async (layers: LayerRange): Promise<ModelRunner> => {
      const model = await loadFixture('llama', { pack, layers })
      const storage = pack.createKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks: 4, blockSize: 4 })
      return new ModelRunner({ model, kv: storage })
    }
    const whole = await runnerOf({ start: 0, end: numLayers })
    const first = await runnerOf({ start: 0, end: 1 })
    const last = await runnerOf({ start: 1, end: numLayers })
    const params = { logprobs: 2, promptLogprobs: 1 }
    const plans = [
      planOf([sequence('a', [5, 250, 33], params), sequence('bad', [1, 99_999_999])]),
      planOf([], {
        cachedSequences: [{ id: 'a', newTokenIds: [7], numComputedTokens: 3, newBlockIds: [], replacedBlocks: [] }],
        scheduled: [{ id: 'a', numTokens: 1 }],
        numTokens: 1,
        droppedIds: ['bad'],
      }),
      planOf([], { droppedIds: ['a'] }),
    ]
    for (const plan of plans) {
      const hidden = first.executeStage(plan)
      const output = last.executeModel(plan, hidden)
      hidden?.dispose()
      expect(withoutStacks(output)).toEqual(withoutStacks(whole.executeModel(plan)))
    }
    for (const runner of [whole, first, last]) runner.dispose()
    expect(pack.usedBytes).toBe(0)
  })
})
