import { describe, expect, it } from 'vitest'
import { RandomData } from './random-data.case.ts'
import { routeTokens } from './moe-routing.ts'

describe('routeTokens', () => {
  const softmax = { topK: 2, scoring: 'softmax', renormalize: false } as const

  it('keeps the most likely experts, in ascending index', () => {
    const logits = Float32Array.of(0, 3, 1, 2, /**/ 5, -1, 5, 4)
    expect([...routeTokens(logits, 4, softmax).expertIds]).toEqual([1, 3, 0, 2])
  })

  it('prefers the lower index between equal logits', () => {
    expect([...routeTokens(Float32Array.of(1, 1, 1, 1), 4, softmax).expertIds]).toEqual([0, 1])
    expect([...routeTokens(Float32Array.of(0, 1, 2, 1), 4, softmax).expertIds]).toEqual([1, 2])
  })

  it('scores over all experts, renormalizes, or scores over the kept ones alone', () => {
    const logits = Float32Array.of(Math.log(1), Math.log(2), Math.log(3), Math.log(4))
    const weightsOf = (options: Parameters<typeof routeTokens>[2]): number[] => [
      ...routeTokens(logits, 4, options).weights,
    ]
    const close = (actual: number[], expected: number[]): void =>
      actual.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6))
    close(weightsOf(softmax), [0.3, 0.4])
    close(weightsOf({ ...softmax, renormalize: true }), [3 / 7, 4 / 7])
    close(weightsOf({ ...softmax, scoring: 'softmax_topk' }), [3 / 7, 4 / 7])
  })

  it('agrees with a full sort on random logits', () => {
    const random = new RandomData(50)
    for (let round = 0; round < 50; round++) {
      const numExperts = random.integer(1, 20)
      const topK = random.integer(1, numExperts)
      // Few distinct values, so that ties are common.
      const row = Float32Array.from({ length: numExperts }, () => random.integer(0, 5))
      const sorted = Array.from(row, (_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b)
      const expected = sorted.slice(0, topK).sort((a, b) => a - b)
      expect([...routeTokens(row, numExperts, { ...softmax, topK }).expertIds]).toEqual(expected)
    }
  })

  it('survives huge logits', () => {
    const { weights } = routeTokens(Float32Array.of(1e30, -1e30, 1e30), 3, softmax)
    expect([...weights]).toEqual([0.5, 0.5])
  })
})
