import { RandomData } from '@octavo/core/testing'
import { describe, expect, it } from 'vitest'
import type { NativeAddon } from './native-addon.ts'
import { testedAddon, testedIsas } from './tested-isas.case.ts'

/** The first index of the largest value; NaN never is. */
function argmax(x: Float32Array): number {
  let [best, index] = [-Infinity, 0]
  x.forEach((value, i) => {
    if (value > best) [best, index] = [value, i]
  })
  return index
}

describe.skipIf(testedAddon === null)('argmaxRows', () => {
  const addon = testedAddon as NativeAddon

  it.each(testedIsas)('%s: finds the first of the largest, past NaN, in rows of any length', (isa) => {
    expect(addon.setIsa(isa)).toBe(true)
    const random = new RandomData(61)
    for (const threads of [1, 2, 4]) {
      const pool = new addon.Pool(threads)
      for (const n of [1, 5, 63, 1024, 1500, 32_768, 151_936]) {
        const x = random.floats(3 * n)
        for (let i = 0; i < 12; i++) x[random.integer(0, 3 * n - 1)] = i % 4 === 0 ? NaN : 2
        x.fill(-Infinity, 2 * n)
        const out = new Int32Array(3).fill(-1)
        pool.argmaxRows(out, x, n)
        expect([...out], `${n}`).toEqual([0, 1, 2].map((row) => argmax(x.subarray(row * n, (row + 1) * n))))
      }
      pool.dispose()
    }
    addon.setIsa(addon.bestIsa())
  })
})
