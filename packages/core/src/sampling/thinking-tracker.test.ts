import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ThinkingLimit } from '../sampling-params.ts'
import { ThinkingTracker } from './thinking-tracker.ts'

const prompt = [1, 2, 3]

function limitOf(limit: Partial<ThinkingLimit>): ThinkingLimit {
  return { maxTokens: 3, startTokenIds: [10], endTokenIds: [20, 21, 22], isOpen: true, ...limit }
}

/** What comes of a model that wants to say `wanted`. */
function outputOf(limit: ThinkingLimit, wanted: readonly number[]): number[] {
  const tracker = new ThinkingTracker(limit)
  const output: number[] = []
  for (let i = 0; i < wanted.length; i++)
    output.push(tracker.forcedToken([...prompt, ...output], prompt.length) ?? wanted[i]!)
  return output
}

describe('a limit of thinking', () => {
  it('forces the end, token by token, and then nothing', () => {
    expect(outputOf(limitOf({}), [5, 5, 5, 5, 5, 5, 6, 7])).toEqual([5, 5, 5, 20, 21, 22, 6, 7])
    expect(outputOf(limitOf({ maxTokens: 0 }), [5, 5, 5, 5])).toEqual([20, 21, 22, 5])
  })

  it('lets an end be that comes in time, and goes on with one that has begun', () => {
    expect(outputOf(limitOf({}), [5, 20, 21, 22, 5, 5, 5, 5])).toEqual([5, 20, 21, 22, 5, 5, 5, 5])
    expect(outputOf(limitOf({}), [5, 5, 5, 20, 5, 5, 5])).toEqual([5, 5, 5, 20, 21, 22, 5])
    // Not an end yet: what looks like it may be gone on with until as many tokens are thought.
    expect(outputOf(limitOf({}), [5, 5, 20, 21, 5, 5, 5, 5])).toEqual([5, 5, 20, 21, 5, 20, 21, 22])
  })

  it('begins where thinking does, and counts all of it', () => {
    const limit = limitOf({ isOpen: false })
    expect(outputOf(limit, [5, 5, 5, 5, 5])).toEqual([5, 5, 5, 5, 5])
    expect(outputOf(limit, [5, 10, 6, 6, 6, 6, 6, 6, 7])).toEqual([5, 10, 6, 6, 6, 20, 21, 22, 7])
    const twice = [10, 6, 20, 21, 22, 10, 6, 6, 6, 6, 6, 8]
    expect(outputOf(limit, twice)).toEqual([10, 6, 20, 21, 22, 10, 6, 6, 20, 21, 22, 8])
    expect(outputOf(limitOf({ isOpen: false, startTokenIds: [] }), twice)).toEqual(twice)
  })

  it('is the same for one who asks at any lengths, as drafts come and go', () => {
    const tokens = fc.array(fc.constantFrom(5, 10, 20, 21, 22), { maxLength: 30 })
    fc.assert(
      fc.property(tokens, fc.array(fc.nat(30)), fc.boolean(), (output, lengths, isOpen) => {
        const limit = limitOf({ isOpen })
        const tracker = new ThinkingTracker(limit)
        for (const length of [...lengths, output.length]) {
          const tokenIds = [...prompt, ...output.slice(0, length)]
          const fresh = new ThinkingTracker(limit).forcedToken(tokenIds, prompt.length)
          expect(tracker.forcedToken(tokenIds, prompt.length)).toBe(fresh)
        }
      }),
    )
  })
})
