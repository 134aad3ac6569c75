import { describe, expect, it } from 'vitest'
import type { SamplingParams } from '../sampling-params.ts'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { checkStop } from './stop.ts'

function stopAfter(output: number[], params: Partial<SamplingParams>, maxModelLen = 100): ReturnType<typeof checkStop> {
  const sequence = new Sequence(testRequest('a', { promptTokenIds: tokenRange(0, 10), eosTokenIds: [2, 3], params }))
  for (const token of output) sequence.appendOutputToken(token)
  return checkStop(sequence, maxModelLen)
}

describe('checkStop', () => {
  it('stops at any end-of-sequence token, without a reason', () => {
    expect(stopAfter([5, 2], {})).toEqual({ finishReason: 'stop', stopReason: null })
    expect(stopAfter([3], {})).toEqual({ finishReason: 'stop', stopReason: null })
    expect(stopAfter([2, 5], {})).toBeNull()
  })

  it('can ignore end-of-sequence, unless it is a stop token too', () => {
    expect(stopAfter([2], { ignoreEos: true })).toBeNull()
    expect(stopAfter([2], { ignoreEos: true, stopTokenIds: [2] })).toEqual({ finishReason: 'stop', stopReason: 2 })
  })

  it('names the stop token', () => {
    expect(stopAfter([5, 7], { stopTokenIds: [6, 7] })).toEqual({ finishReason: 'stop', stopReason: 7 })
  })

  it('stops at tokens only from minTokens on', () => {
    const params = { minTokens: 3, stopTokenIds: [7] }
    expect([stopAfter([5, 2], params), stopAfter([5, 7], params)]).toEqual([null, null])
    expect(stopAfter([5, 5, 7], params)).toEqual({ finishReason: 'stop', stopReason: 7 })
    expect(stopAfter([5, 5, 2], params)).toEqual({ finishReason: 'stop', stopReason: null })
  })

  it('stops at maxTokens and at the context, for which minTokens does not count', () => {
    expect(stopAfter([5, 5], { maxTokens: 3 })).toBeNull()
    expect(stopAfter([5, 5, 5], { maxTokens: 3 })).toEqual({ finishReason: 'length', stopReason: null })
    expect(stopAfter([5, 5], { maxTokens: null }, 13)).toBeNull()
    expect(stopAfter([5, 5, 5], { maxTokens: null, minTokens: 9 }, 13)).toEqual({
      finishReason: 'length',
      stopReason: null,
    })
  })

  it('prefers stop to length', () => {
    expect(stopAfter([2], { maxTokens: 1 })).toEqual({ finishReason: 'stop', stopReason: null })
  })
})
