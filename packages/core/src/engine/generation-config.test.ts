import { describe, expect, it } from 'vitest'
import { defaultSamplingParams } from '../sampling-params.ts'
import { eosTokenIdsOf, samplingDefaults } from './generation-config.ts'

describe('samplingDefaults', () => {
  const generationConfig = { temperature: 0.6, top_p: 0.9, top_k: 20, min_p: 0.1, repetition_penalty: 1.1 }

  it("takes the checkpoint's with 'auto', and the library's own with 'octavo'", () => {
    expect(samplingDefaults({ generationConfig }, { generationConfig: 'auto' })).toEqual({
      ...defaultSamplingParams,
      temperature: 0.6,
      topP: 0.9,
      topK: 20,
      minP: 0.1,
      repetitionPenalty: 1.1,
    })
    expect(samplingDefaults({ generationConfig }, { generationConfig: 'octavo' })).toEqual(defaultSamplingParams)
    expect(samplingDefaults({ generationConfig: null }, { generationConfig: 'auto' })).toEqual(defaultSamplingParams)
  })

  it('reads do_sample: false as greedy', () => {
    const stated = { ...generationConfig, do_sample: false }
    expect(samplingDefaults({ generationConfig: stated }, { generationConfig: 'auto' }).temperature).toBe(0)
  })

  it('passes over values that no request could use', () => {
    const stated = { temperature: -1, top_p: 'all', top_k: 3 }
    expect(samplingDefaults({ generationConfig: stated }, { generationConfig: 'auto' })).toEqual({
      ...defaultSamplingParams,
      topK: 3,
    })
  })
})

describe('eosTokenIdsOf', () => {
  it.each<[unknown, number[], number | null, number[]]>([
    [[7, 8, 7], [5], 1, [7, 8, 1]],
    [9, [5], 1, [9, 1]],
    [undefined, [5, 6], 1, [5, 6, 1]],
    [['</s>', -1], [5], 1, [5, 1]],
    [null, [], 1, [1]],
    [undefined, [], null, []],
  ])('generation_config.json %j, config.json %j, tokenizer %j: %j', (stated, eosTokenIds, eosTokenId, expected) => {
    const generationConfig = stated === undefined ? null : { eos_token_id: stated }
    expect(eosTokenIdsOf({ generationConfig }, { eosTokenIds }, { eosTokenId })).toEqual(expected)
  })
})
