import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { shardRange } from './shard.ts'

describe('shardRange', () => {
  it('gives all features once, in whole units, and no rank more than one unit more than another', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.constantFrom(1, 3, 32), fc.nat(2000), (size, unit, more) => {
        const features = (size - 1) * unit + 1 + more
        const shares = Array.from({ length: size }, (_, rank) =>
          shardRange(features, { rank, size }, { name: 'a', unit }),
        )
        expect(shares[0]!.start).toBe(0)
        expect(shares.at(-1)!.end).toBe(features)
        shares.slice(1).forEach(({ start }, i) => {
          expect(start).toBe(shares[i]!.end)
          expect(start % unit).toBe(0)
        })
        const numUnits = shares.map(({ start, end }) => Math.ceil((end - start) / unit))
        expect(Math.min(...numUnits)).toBeGreaterThan(0)
        expect(Math.max(...numUnits) - Math.min(...numUnits)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('refuses ranks that would have nothing, and says how many can', () => {
    const share = (): unknown => shardRange(64, { rank: 0, size: 4 }, { name: 'mlp.down_proj', unit: 32 })
    expect(share).toThrow(InvalidConfigError)
    expect(share).toThrow('tp: 4 ranks cannot share the 64 features of mlp.down_proj in blocks of 32; use up to 2')
  })
})
