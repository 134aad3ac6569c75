import { completionRequestSchema } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { samplingParams } from './sampling-params.ts'

describe('samplingParams', () => {
  it('leaves to the engine what the client leaves out or sets to null', () => {
    const nulls = {
      temperature: null,
      top_p: null,
      seed: null,
      stop: null,
      logit_bias: null,
      n: null,
      max_tokens: null,
    }
    for (const extra of [{}, nulls]) {
      const params = samplingParams(completionRequestSchema.parse({ prompt: 'a', ...extra }))
      expect(Object.values(params).filter((value) => value !== undefined)).toEqual([])
    }
  })

  it('carries every option under its own name, zero and false included', () => {
    const request = completionRequestSchema.parse({
      prompt: 'a',
      n: 2,
      min_tokens: 0,
      temperature: 0,
      top_p: 0.5,
      top_k: -1,
      min_p: 0,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.5,
      seed: -1,
      stop: ['x', 'y'],
      stop_token_ids: [7],
      include_stop_str_in_output: true,
      ignore_eos: false,
      prompt_logprobs: 0,
      allowed_token_ids: [1, 2],
      bad_words: ['w'],
      skip_special_tokens: false,
      spaces_between_special_tokens: false,
    })
    expect(samplingParams(request)).toEqual({
      n: 2,
      minTokens: 0,
      temperature: 0,
      topP: 0.5,
      topK: -1,
      minP: 0,
      presencePenalty: -2,
      frequencyPenalty: 2,
      repetitionPenalty: 1.5,
      seed: -1,
      stop: ['x', 'y'],
      stopTokenIds: [7],
      includeStopStrInOutput: true,
      ignoreEos: false,
      promptLogprobs: 0,
      logitBias: undefined,
      allowedTokenIds: [1, 2],
      badWords: ['w'],
      skipSpecialTokens: false,
      spacesBetweenSpecialTokens: false,
    })
  })

  it('makes a list of one stop string and numbers of the keys of logit_bias', () => {
    const params = samplingParams(
      completionRequestSchema.parse({ prompt: 'a', stop: 'x', logit_bias: { 7: -100, '012': 5 } }),
    )
    expect(params).toMatchObject({ stop: ['x'], logitBias: { 7: -100, 12: 5 } })
  })
})
