import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TokenCounts } from './token-counts.ts'

function seen(counts: TokenCounts, tokenIds: readonly number[], numPromptTokens: number): [number[], number[]] {
  const { tokenIds: ids, counts: numbers } = counts.update(tokenIds, numPromptTokens)
  return [[...ids], [...numbers]]
}

describe('TokenCounts', () => {
  it('counts output tokens, and knows those of the prompt', () => {
    expect(seen(new TokenCounts(), [7, 5, 7, 5, 5, 9], 3)).toEqual([
      [7, 5, 9],
      [0, 2, 1],
    ])
  })

  it('is after cuts as if it had never seen what was cut off', () => {
    const ids = fc.array(fc.nat(80), { maxLength: 150 })
    fc.assert(
      fc.property(ids, fc.array(fc.record({ grow: ids, cut: fc.nat(200) }), { maxLength: 6 }), (prompt, changes) => {
        const counts = new TokenCounts()
        let tokenIds = prompt
        for (const { grow, cut } of changes) {
          tokenIds = [...tokenIds, ...grow]
          counts.update(tokenIds, prompt.length)
          const length = Math.max(prompt.length, tokenIds.length - cut)
          counts.cutBack(tokenIds, length)
          tokenIds = tokenIds.slice(0, length)
        }
        expect(seen(counts, tokenIds, prompt.length)).toEqual(seen(new TokenCounts(), tokenIds, prompt.length))
      }),
    )
  })
})
