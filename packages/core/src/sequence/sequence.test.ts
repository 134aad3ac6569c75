import { describe, expect, it } from 'vitest'
import { defaultSamplingParams } from '../sampling-params.ts'
import { Sequence, type SequenceRequest } from './sequence.ts'

function request(overrides: Partial<SequenceRequest> = {}): SequenceRequest {
  return {
    id: 'a',
    promptTokenIds: [10, 11, 12],
    params: { ...defaultSamplingParams, promptLogprobs: 1 },
    eosTokenIds: [2],
    priority: 0,
    arrivalTime: 0,
    cacheSalt: null,
    forkOf: null,
    ...overrides,
  }
}

describe('Sequence', () => {
  it('holds the prompt, then the output', () => {
    const sequence = new Sequence(request())
    sequence.appendOutputToken(20)
    sequence.appendOutputToken(21)
    expect(sequence.numTokens).toBe(5)
    expect(sequence.tokenIds()).toEqual([10, 11, 12, 20, 21])
    expect(sequence.tokenIds(1, 3)).toEqual([11, 12])
    expect(sequence.tokenIds(2, 4)).toEqual([12, 20])
    expect(sequence.tokenIds(3, 5)).toEqual([20, 21])
    expect(sequence.outputTokenIds).toEqual([20, 21])
  })

  it('leaves prompt logprobs to the leader of the samples', () => {
    expect(new Sequence(request()).skipsReadingPrefixCache).toBe(true)
    const child = new Sequence(request({ id: 'b', forkOf: 'a' }))
    expect(child.params.promptLogprobs).toBeNull()
    expect(child.skipsReadingPrefixCache).toBe(false)
  })

  it('finishes once', () => {
    const sequence = new Sequence(request())
    sequence.finish('stop', 7)
    expect([sequence.status, sequence.finishReason, sequence.stopReason]).toEqual(['finished', 'stop', 7])
    expect(() => sequence.finish('abort')).toThrow(/finished twice/)
  })

  it('refuses an empty prompt', () => {
    expect(() => new Sequence(request({ promptTokenIds: [] }))).toThrow(/no prompt tokens/)
  })

  it('is built from structured-clonable data', () => {
    const copy = structuredClone(request())
    expect(new Sequence(copy).tokenIds()).toEqual([10, 11, 12])
  })
})
