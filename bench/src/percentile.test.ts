import { expect, test } from 'vitest'
import { median, numAllowedAbove, percentile } from './percentile.ts'

test('a percentile is one of the values, by nearest rank', () => {
  const values = [15, 20, 35, 40, 50]
  expect([5, 30, 40, 50, 100].map((percent) => percentile(values, percent))).toEqual([15, 20, 20, 35, 50])
  expect(percentile([3, 1, 2], 99)).toBe(3)
  expect(percentile([], 50)).toBeNaN()
})

test('the median of an even count is the lower of the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2)
})

test('a percentile keeps a bound as long as no more values exceed it than allowed', () => {
  for (const count of [1, 24, 99, 100, 250]) {
    const allowed = numAllowedAbove(99, count)
    const withLate = (late: number): number[] => Array.from({ length: count }, (_, i) => (i < late ? 9 : 1))
    expect(percentile(withLate(allowed), 99)).toBe(1)
    expect(percentile(withLate(allowed + 1), 99)).toBe(9)
  }
})
