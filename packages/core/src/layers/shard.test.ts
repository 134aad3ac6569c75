import fc from 'fast-check'
import { assert, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { InvalidConfigError } from '../errors.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { singleRank } from './communicator.ts'
import { unquantized } from './linear-method.ts'
import type { LinearMethods } from './linear-method.ts'
import { MemoryWeights } from './memory-weights.case.ts'
import { shardInnerFeatures, shardRange } from './shard.ts'
import { WeightLoader } from './weight-loader.ts'

describe('shardInnerFeatures', () => {
  const pack = { packWeight: () => assert.fail('nothing is loaded') } as unknown as BackendPack
  const units: Record<string, number> = { a: 4, b: 6, c: 1 }
  const share = (size: number, modules: readonly string[]): RowRange[] =>
    Array.from({ length: size }, (_, rank) => {
      const communicator = { ...singleRank, rank, size }
      const linearMethods: LinearMethods = (module, role) => {
        expect(role).toBe('expert')
        return module === 'plain'
          ? unquantized
          : { ...unquantized, columnUnit: () => units[module] ?? assert.fail(module) }
      }
      const source = new MemoryWeights({ 'plain.weight': { shape: [1, 4], values: new Float32Array(4) } })
      const loader = new WeightLoader({ source, pack, dtype: 'auto', communicator, linearMethods })
      return shardInnerFeatures(loader, { features: 40, modules, role: 'expert' })
    })

  it('cuts where all of the modules can be cut', () => {
    expect(share(2, ['a', 'b', 'c'])).toEqual([
      { start: 0, end: 24 },
      { start: 24, end: 40 },
    ])
    expect(share(3, ['plain', 'c'])).toEqual([
      { start: 0, end: 14 },
      { start: 14, end: 27 },
      { start: 27, end: 40 },
    ])
    expect(() => share(5, ['a', 'b'])).toThrow('5 ranks cannot share the 40 features of a in blocks of 12; use up to 4')
  })

  it('asks nobody on one rank', () => {
    expect(share(1, ['unknown'])).toEqual([{ start: 0, end: 40 }])
  })
})

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
