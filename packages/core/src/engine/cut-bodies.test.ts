import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keptPositions } from './cut-bodies.ts'

const [cls, sep] = [900, 901]
const range = (start: number, length: number): number[] => Array.from({ length }, (_, i) => start + i)

describe('keptPositions', () => {
  it('cuts a text, and keeps the special tokens around it', () => {
    const body = range(0, 6)
    const prompt = [cls, ...body, sep]
    const kept = (side: 'left' | 'right', keep: number) =>
      keptPositions(prompt, [body], { keep, side }).map((at) => prompt[at])
    expect(kept('right', 5)).toEqual([cls, 0, 1, 2, sep])
    expect(kept('left', 5)).toEqual([cls, 3, 4, 5, sep])
    expect(kept('right', 8)).toEqual(prompt)
    expect(kept('right', 2)).toEqual([cls, sep])
    expect(kept('right', 1)).toEqual([cls])
    expect(kept('left', 1)).toEqual([sep])
  })

  it('cuts the longer of two texts first, then both alike', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.nat(12), fc.integer({ min: 3, max: 30 }), (a, b, keep) => {
        const bodies = [range(0, a), range(100, b)]
        const prompt = [cls, ...bodies[0]!, sep, ...bodies[1]!, sep]
        const kept = keptPositions(prompt, bodies, { keep, side: 'right' }).map((at) => prompt[at]!)
        expect(kept).toHaveLength(Math.min(keep, prompt.length))
        const first = kept.filter((id) => id < 100).length
        const second = kept.filter((id) => id >= 100 && id < 900).length
        expect(kept).toEqual([cls, ...range(0, first), sep, ...range(100, second), sep])
        // One at a time from the longer one, as `longest_first` is defined.
        let [n, m] = [a, b]
        for (; n + m + 3 > keep && n + m > 0; n > m ? n-- : m--);
        expect([Math.min(first, second), Math.max(first, second)]).toEqual([Math.min(n, m), Math.max(n, m)])
      }),
    )
  })

  it('keeps an end of a prompt in which the text is not to be found', () => {
    expect(keptPositions([1, 2, 3, 4], [[7, 8]], { keep: 2, side: 'left' })).toEqual([2, 3])
  })
})
