import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { InvalidLogitsError, InvalidRequestError } from '../errors.ts'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import { Logits } from './logits.ts'
import type { LogitsProcessor } from './logits-processor.ts'
import { TokenSampler } from './sampler.ts'
import { createSamplingState, type SamplingState } from './sampling-state.ts'

const vocabSize = 6

function stateOf(input: SamplingParamsInput = {}): SamplingState {
  const params = resolveSamplingParams({ temperature: 0, ...input }, { vocabSize, maxLogprobs: -1 })
  return createSamplingState({ params, tokenIds: [1, 2], numPromptTokens: 1, eosTokenIds: [], vocabSize })
}

function sample(sampler: TokenSampler, rows: readonly number[][], states: readonly SamplingState[]): unknown[] {
  const logits = new Logits(tensor2d(rows as number[][], [rows.length, vocabSize]))
  const results = sampler.sample(
    logits,
    states.map((state, row) => ({ row, state })),
  )
  logits.tensor.dispose()
  return results
}

const row = [0, 1, 2, 3, 2, 1]

describe('TokenSampler', () => {
  beforeAll(async () => {
    await setBackend((await createCpuPack()).name)
  })

  it('fails a sequence that has no token, and no other', () => {
    const states = [stateOf(), stateOf({ allowedTokenIds: [3], badWordsTokenIds: [[3]] }), stateOf({ logprobs: 0 })]
    const results = sample(new TokenSampler(), [[0, NaN, 0, 0, 0, 0], row, row], states)
    expect(results).toMatchObject([
      { error: { message: expect.stringContaining('NaN') as string } },
      { error: { message: expect.stringContaining('badWords') as string } },
      { tokenId: 3, logprobs: { chosen: { tokenId: 3, rank: 1 } } },
    ])
    expect((results[0] as { error: Error }).error).toBeInstanceOf(InvalidLogitsError)
    expect((results[1] as { error: Error }).error).toBeInstanceOf(InvalidRequestError)
  })

  it('runs processors in order, before what the request bans and after its logprobs', () => {
    const favour: LogitsProcessor = { apply: (logits) => void logits.fill(50, 4, 6) }
    const byState: LogitsProcessor = {
      apply: (logits, { tokenIds }) => void (logits[4] = tokenIds.at(-1)! + logits[4]!),
    }
    const sampler = new TokenSampler([favour, byState])
    expect(sample(sampler, [row, row], [stateOf({ logprobs: 0 }), stateOf({ badWordsTokenIds: [[4]] })])).toMatchObject(
      [{ tokenId: 4, logprobs: { chosen: { tokenId: 4, rank: 3 } } }, { tokenId: 5 }],
    )
  })

  it('fails the sequence for which a processor throws', () => {
    const picky: LogitsProcessor = {
      apply(_, { params }) {
        if (params.seed === 7) throw new Error('not this one')
      },
    }
    expect(sample(new TokenSampler([picky]), [row, row], [stateOf({ seed: 7 }), stateOf()])).toMatchObject([
      { error: { message: 'not this one' } },
      { tokenId: 3 },
    ])
  })
})
