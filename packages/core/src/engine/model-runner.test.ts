import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { loadFixture, readFixtureConfig } from '../models/load-fixture.case.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import { type Sampler, TokenSampler } from '../sampling/sampler.ts'
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

/** Counts up to the end of the vocabulary, and from 0 again. */
const cyclic = {
  ...successor,
  computeLogits: (hidden: tf.Tensor2D) => {
    const next = Array.from(hidden.dataSync<'float32'>(), (id) => (id + 1) % vocabSize)
    return tf.tensor2d(
      next.map((wanted) => Array.from({ length: vocabSize }, (_, token) => (token === wanted ? 9 : 0))),
    )
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

  describe('with drafts', () => {
    interface Drafted {
      readonly data: NewSequenceData
      readonly draftTokenIds: readonly number[]
    }

    const drafted = (id: string, tokenIds: number[], rest: Partial<SamplingParams> & { drafts: number[] }): Drafted => {
      const { drafts, ...params } = rest
      return { data: sequence(id, tokenIds, params), draftTokenIds: drafts }
    }

    function draftPlan(sequences: readonly Drafted[]): SchedulerOutput {
      const scheduled = sequences.map(({ data: { id, tokenIds }, draftTokenIds }) => ({
        id,
        numTokens: tokenIds.length + draftTokenIds.length,
        ...(draftTokenIds.length > 0 && { draftTokenIds }),
      }))
      const numTokens = scheduled.reduce((sum, entry) => sum + entry.numTokens, 0)
      return planOf(
        sequences.map(({ data }) => data),
        { scheduled, numTokens },
      )
    }

    const tokensOf = ({ sampled }: ModelRunnerOutput): Record<string, readonly number[]> =>
      Object.fromEntries(sampled.map(({ id, tokenIds }) => [id, tokenIds]))

    it('takes what it would draw anyway, and one token more', () => {
      const runner = new ModelRunner({ model: successor, kv })
      const output = runner.executeModel(
        draftPlan([
          drafted('all', [0, 1], { drafts: [2, 3], logprobs: 1 }),
          drafted('some', [0], { drafts: [1, 7, 3] }),
          drafted('none', [0], { drafts: [7, 2, 3] }),
          drafted('no drafts', [0], { drafts: [] }),
        ]),
      )
      expect(tokensOf(output)).toEqual({
        all: [2, 3, 4],
        some: [1, 2],
        none: [1],
        'no drafts': [1],
      })
      expect(output.sampled[0]?.logprobs?.map(({ chosen }) => chosen.tokenId)).toEqual([2, 3, 4])
      expect(output.sampled[1]?.logprobs).toBeNull()
    })

    it('computes something else for a draft that is no token of the model', () => {
      const forward = vi.fn(successor.forward)
      const runner = new ModelRunner({ model: { ...successor, forward }, kv })
      const drafts = [1, vocabSize, -1, NaN]
      expect(tokensOf(runner.executeModel(draftPlan([drafted('a', [0], { drafts })])))).toEqual({ a: [1, 2] })
      expect(forward.mock.calls[0]?.[0]).toEqual(Int32Array.of(0, 1, 0, 0, 0))
    })

    it('goes on with what the plan says, whatever was drafted and drawn', () => {
      const runner = new ModelRunner({ model: successor, kv })
      const params = { drafts: [1, 2], frequencyPenalty: 2, repetitionPenalty: 1.5 }
      expect(tokensOf(runner.executeModel(draftPlan([drafted('a', [0], params)])))).toEqual({ a: [1, 2, 3] })
      const cached = { id: 'a', newTokenIds: [1, 2, 3], numComputedTokens: 3, newBlockIds: [], replacedBlocks: [] }
      const next = planOf([], { cachedSequences: [cached], scheduled: [{ id: 'a', numTokens: 1 }], numTokens: 1 })
      expect(tokensOf(runner.executeModel(next))).toEqual({ a: [4] })
    })

    it('asks sampler and logits processors as it would without: in order, about accepted tokens only', () => {
      const asked: string[] = []
      const sampler = new TokenSampler([
        {
          apply: (_, { tokenIds, counts, numPromptTokens }) => {
            const seen = counts.update(tokenIds, numPromptTokens)
            asked.push(
              `${tokenIds.join(' ')}: ${[...seen.tokenIds].map((id, i) => `${id}x${seen.counts[i]}`).join(' ')}`,
            )
          },
        },
      ])
      const runner = new ModelRunner({ model: successor, kv, sampler })
      runner.executeModel(draftPlan([drafted('a', [0], { drafts: [1, 2, 7, 3] }), drafted('b', [3], { drafts: [6] })]))
      expect(asked).toEqual(['0: 0x0', '3: 3x0', '0 1: 0x0 1x1', '0 1 2: 0x0 1x1 2x1'])
    })

    it('fails a sequence only in the step that begins with what fails', () => {
      const runner = new ModelRunner({ model: successor, kv })
      const bad = drafted('a', [3], { drafts: [4, 5, 6], logprobs: 0 })
      const output = runner.executeModel(draftPlan([bad, drafted('b', [5], { drafts: [6] })]))
      // Token 5 is good, and what follows it is NaN.
      expect(tokensOf(output)).toEqual({ a: [4, 5] })
      expect(output.failed.map(({ id, error }) => [id, error.name])).toEqual([['b', 'InvalidLogitsError']])
      const cached = { id: 'a', newTokenIds: [4, 5], numComputedTokens: 2, newBlockIds: [], replacedBlocks: [] }
      const next = planOf([], { cachedSequences: [cached], scheduled: [{ id: 'a', numTokens: 1 }], numTokens: 1 })
      expect(runner.executeModel(next).failed.map(({ id }) => id)).toEqual(['a'])
    })

    it('verifies as many as there are, though their logits come in parts, beside prompt logprobs', () => {
      const runner = new ModelRunner({ model: cyclic, kv: { layout: { blockSize: 64 } } as unknown as KvStorage })
      const drafts = Array.from({ length: 50 }, (_, i) => (i + 1) % vocabSize)
      const wrong = drafts.with(30, 5)
      const output = runner.executeModel(
        draftPlan([
          drafted('scored', [6, 7, 0], { drafts, promptLogprobs: 0 }),
          drafted('right', [0], { drafts }),
          drafted('wrong', [0], { drafts: wrong }),
        ]),
      )
      expect(tokensOf(output)).toEqual({
        scored: [...drafts, 51 % vocabSize],
        right: [...drafts, 51 % vocabSize],
        wrong: drafts.slice(0, 31),
      })
      expect(output.promptLogprobs).toMatchObject([{ id: 'scored', startPosition: 1, entries: { length: 2 } }])
    })
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
