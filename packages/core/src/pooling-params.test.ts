import { describe, expect, it } from 'vitest'
import { InvalidRequestError } from './errors.ts'
import { type PoolingInfo, type PoolingParamsInput, resolvePoolingParams, unsupportedTask } from './pooling-params.ts'

const info: PoolingInfo = {
  dimensions: 8,
  matryoshkaDimensions: null,
  isNormalized: true,
  numLabels: null,
  labels: null,
  acceptsPairs: false,
  prompts: {},
}
const limits = { tasks: ['generate', 'embed', 'token_embed', 'classify'] as const, pooling: info }

describe('resolvePoolingParams', () => {
  it('fills what is left out by the model', () => {
    expect(resolvePoolingParams({ task: 'embed' }, limits)).toEqual({
      task: 'embed',
      dimensions: null,
      useActivation: true,
    })
    const raw = { ...limits, pooling: { ...info, isNormalized: false } }
    expect(resolvePoolingParams({ task: 'token_embed', useActivation: null }, raw).useActivation).toBe(false)
    expect(resolvePoolingParams({ task: 'embed', useActivation: true }, raw).useActivation).toBe(true)
    expect(resolvePoolingParams({ task: 'classify' }, raw).useActivation).toBe(true)
  })

  it('cuts embeddings only to lengths that they were trained for', () => {
    const dimensions = (wanted: number, matryoshkaDimensions: PoolingInfo['matryoshkaDimensions']) =>
      resolvePoolingParams(
        { task: 'embed', dimensions: wanted },
        { ...limits, pooling: { ...info, matryoshkaDimensions } },
      ).dimensions
    expect(dimensions(8, null)).toBeNull()
    expect(dimensions(3, 'any')).toBe(3)
    expect(dimensions(4, [2, 4])).toBe(4)
    expect(() => dimensions(3, [2, 4])).toThrow('dimensions must be one of 2, 4, for which')
    expect(() => dimensions(4, null)).toThrow('dimensions is 4, but')
    for (const wrong of [0, 9, 1.5, Number.NaN]) expect(() => dimensions(wrong, 'any')).toThrow('from 1 to 8')
  })

  it('refuses what it does not know, by name', () => {
    const resolve = (input: object) => () => resolvePoolingParams(input as PoolingParamsInput, limits)
    expect(resolve({ task: 'embed', normalize: true })).toThrow('normalize is not a pooling parameter')
    expect(resolve({ task: 'embeds' })).toThrow('did you mean embed?')
    expect(resolve({ task: 'classify', dimensions: 2 })).toThrow('dimensions is for embeddings')
    expect(resolve({ task: 'embed', useActivation: 'yes' })).toThrow('useActivation must be a boolean')
    expect(resolve({ task: 'embed' })).not.toThrow()
  })

  it("names a model's tasks where it lacks the one that is asked for", () => {
    const error = unsupportedTask('token_classify', limits.tasks)
    expect(error).toBeInstanceOf(InvalidRequestError)
    expect(error.message).toContain("'token_classify'; it does generate, embed, token_embed and classify.")
    expect(() => resolvePoolingParams({ task: 'token_classify' }, limits)).toThrow(error.message)
    expect(() => resolvePoolingParams({ task: 'embed' }, { tasks: ['generate'], pooling: null })).toThrow(
      'it does generate.',
    )
  })
})
