import { describe, expect, it } from 'vitest'
import { answerSequence, cutWindows, numScoredTokens, readTextCorpus } from './token-sequences.ts'

const ids = Int32Array.from({ length: 10 }, (_, i) => i)
const scored = (windowTokens: number, strideTokens: number): number[][] =>
  cutWindows(ids, { windowTokens, strideTokens }).map(({ tokenIds, firstScored }) => [
    ...tokenIds.subarray(firstScored),
  ])

describe('cutWindows', () => {
  it('scores all but the first token of each window that stands alone', () => {
    expect(scored(4, 4)).toEqual([[1, 2, 3], [5, 6, 7], [9]])
    expect(scored(3, 3)).toEqual([
      [1, 2],
      [4, 5],
      [7, 8],
    ])
  })

  it('scores every token but the first once, where windows overlap', () => {
    expect(scored(4, 2)).toEqual([
      [1, 2, 3],
      [4, 5],
      [6, 7],
      [8, 9],
    ])
    expect(scored(100, 100)).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9]])
  })
})

describe('sequences', () => {
  it('of an answer score the answer', () => {
    const sequence = answerSequence([5, 6, 7], [8, 9])
    expect([...sequence.tokenIds.subarray(sequence.firstScored)]).toEqual([8, 9])
    expect(numScoredTokens(sequence)).toBe(2)
  })

  it('of a text that is too short, missing or no text are refused', () => {
    const options = { windowTokens: 4, strideTokens: 4, maxTokens: 100 }
    expect(() => readTextCorpus(import.meta.filename, { encode: () => [1] }, options)).toThrow('has 1 tokens')
    expect(() => readTextCorpus('/no/such/text', { encode: () => [] }, options)).toThrow('/no/such/text cannot be read')
    expect(() => readTextCorpus(process.execPath, { encode: () => [1, 2] }, options)).toThrow(/cannot be read .*utf-8/)
  })
})
