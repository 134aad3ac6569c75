import { describe, expect, it } from 'vitest'
import { InvalidRequestError } from './errors.ts'
import { resolveSamplingParams, type SamplingParamsInput } from './sampling-params.ts'

const limits = { vocabSize: 100, maxLogprobs: 20 }
const resolve = (input: SamplingParamsInput) => resolveSamplingParams(input, limits)

describe('resolveSamplingParams', () => {
  it('fills defaults, freezes, and lets undefined count as absent', () => {
    const params = resolve({ temperature: undefined, topK: -1, seed: -1 })
    expect(params).toMatchObject({ temperature: 1, topK: 0, seed: null, maxTokens: 16, n: 1 })
    expect(Object.isFrozen(params)).toBe(true)
  })

  it('keeps each token id of a list once', () => {
    const params = resolve({ stopTokenIds: [7, 7, 3], allowedTokenIds: Array(1000).fill(5) })
    expect(params).toMatchObject({ stopTokenIds: [7, 3], allowedTokenIds: [5] })
  })

  it('follows the rules on small temperatures', () => {
    expect(resolve({ temperature: 1e-6, topP: 0.3, topK: 4, minP: 0.2 })).toMatchObject({
      temperature: 0,
      topP: 1,
      topK: 0,
      minP: 0,
    })
    expect(resolve({ temperature: 0.001 }).temperature).toBe(0.01)
  })

  it.each<[string, Record<string, unknown>]>([
    ['n', { n: 0 }],
    ['n', { n: 2, temperature: 0 }],
    ['maxTokens', { maxTokens: 0 }],
    ['maxTokens', { maxTokens: 1.5 }],
    ['minTokens', { minTokens: 17 }],
    ['temperature', { temperature: 2.1 }],
    ['temperature', { temperature: Number.NaN }],
    ['temperature', { temperature: '1' }],
    ['topP', { topP: 0 }],
    ['topK', { topK: -2 }],
    ['minP', { minP: 1.1 }],
    ['presencePenalty', { presencePenalty: 3 }],
    ['frequencyPenalty', { frequencyPenalty: -2.5 }],
    ['repetitionPenalty', { repetitionPenalty: 0 }],
    ['seed', { seed: 0.5 }],
    ['stop', { stop: [''] }],
    ['stop', { stop: 'end' }],
    ['stop', { stop: ['\ude00'] }],
    ['stop', { stop: ['x'], detokenize: false }],
    ['stopTokenIds', { stopTokenIds: [100] }],
    ['logprobs', { logprobs: 21 }],
    ['logprobs', { logprobs: -1 }],
    ['logitBias', { logitBias: { 100: 1 } }],
    ['logitBias', { logitBias: { 5: Number.NaN } }],
    ['allowedTokenIds', { allowedTokenIds: [] }],
    ['badWords', { badWords: [''] }],
    ['badWords', { badWords: ['a'.repeat(40_000), 'b'.repeat(40_000)] }],
    ['ignoreEos', { ignoreEos: 1 }],
    ['bestOf', { bestOf: 2 }],
  ])('refuses a bad %s: %j', (param, input) => {
    const error = (() => {
      try {
        resolve(input as SamplingParamsInput)
      } catch (caught) {
        return caught
      }
    })()
    expect(error).toBeInstanceOf(InvalidRequestError)
    expect(error).toMatchObject({ param, code: 'invalid_request' })
  })
})
