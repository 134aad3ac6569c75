import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyMask, createTokenMask, intersectMasks, numMaskWords } from './token-mask.ts'

const allows = (mask: Int32Array, id: number): boolean => (((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1

describe('token masks', () => {
  it('allow the tokens that they are made of', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat()), (vocabSize, numbers) => {
        const ids = new Set(numbers.map((x) => x % vocabSize))
        const mask = createTokenMask([...ids], vocabSize)
        expect(mask).toHaveLength(Math.ceil(vocabSize / 32))
        for (let id = 0; id < 32 * mask.length; id++) expect(allows(mask, id)).toBe(ids.has(id))
      }),
    )
  })

  it('allow together what both allow, the shorter one nothing beyond its end', () => {
    const [a, b] = [Int32Array.of(0b1100, -1, 5), Int32Array.of(0b1010, 7)]
    expect(intersectMasks(a, b)).toEqual(Int32Array.of(0b1000, 7))
    expect(intersectMasks(b, a)).toEqual(Int32Array.of(0b1000, 7))
    expect(intersectMasks(a, null)).toBe(a)
    expect(intersectMasks(null, b)).toBe(b)
    expect(intersectMasks(null, null)).toBeNull()
  })

  it('ban the rest of the logits, and whatever lies beyond them', () => {
    const words = fc.oneof(fc.constantFrom(0, -1), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }))
    fc.assert(
      fc.property(
        fc.array(words, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 300 }),
        (given, length) => {
          const mask = Int32Array.from(given).slice(0, numMaskWords(length))
          const logits = Float32Array.from({ length }, (_, id) => (id % 7 === 0 ? NaN : id))
          const masked = logits.slice()
          applyMask(masked, mask)
          expect(masked).toEqual(logits.map((logit, id) => (allows(mask, id) ? logit : -Infinity)))
        },
      ),
    )
  })

  it('are no longer than the vocabulary, and have a word', () => {
    expect(() => applyMask(new Float32Array(64), new Int32Array(3))).toThrow('3 words over 64 tokens')
    expect(() => applyMask(new Float32Array(64), new Int32Array(0))).toThrow('0 words over 64 tokens')
  })
})
