import { describe, expect, it } from 'vitest'
import { bootstrapMean, bootstrapValues, expEstimate, isWithin, quantile, wilsonEstimate } from './estimate.ts'

describe('wilsonEstimate', () => {
  // R: prop.test(x, n, correct = FALSE)$conf.int
  it.each([
    [190, 200, 0.910422, 0.972616],
    [0, 20, 0, 0.161125],
    [20, 20, 0.838875, 1],
    [1, 2, 0.094531, 0.905469],
  ])('of %d in %d', (right, all, low, high) => {
    const estimate = wilsonEstimate(right, all)
    expect(estimate.value).toBe(right / all)
    expect(estimate.low).toBeCloseTo(low, 5)
    expect(estimate.high).toBeCloseTo(high, 5)
  })
})

it('wilsonEstimate holds its own value, all right and all wrong too', () => {
  for (let n = 1; n <= 100; n++) {
    expect(isWithin(1, wilsonEstimate(n, n))).toBe(true)
    expect(isWithin(0, wilsonEstimate(0, n))).toBe(true)
  }
})

describe('bootstrapMean', () => {
  const values = Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) + 1)

  it('is as wide as the theory of means says', () => {
    const { value, low, high } = bootstrapValues(values, 1)
    const mean = values.reduce((a, b) => a + b, 0) / values.length
    const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length)
    const half = (1.96 * deviation) / Math.sqrt(values.length)
    expect(value).toBeCloseTo(mean, 12)
    expect(low / (mean - half)).toBeCloseTo(1, 1)
    expect(high / (mean + half)).toBeCloseTo(1, 1)
    expect(high - low).toBeGreaterThan(1.6 * half)
    expect(high - low).toBeLessThan(2.4 * half)
  })

  it('is the same for the same seed, and another for another', () => {
    expect(bootstrapValues(values, 7)).toEqual(bootstrapValues(values, 7))
    expect(bootstrapValues(values, 7)).not.toEqual(bootstrapValues(values, 8))
  })

  it('weighs clusters by their members, and resamples them whole', () => {
    const { value } = bootstrapMean(
      [
        { sum: 30, count: 3 },
        { sum: 1, count: 1 },
      ],
      1,
    )
    expect(value).toBe(31 / 4)
    const alike = Array.from({ length: 20 }, (_, i) => ({ sum: i % 2 === 0 ? 100 : 0, count: 100 }))
    const apart = Array.from({ length: 2000 }, (_, i) => ({ sum: i % 2, count: 1 }))
    const width = ({ low, high }: { low: number; high: number }): number => high - low
    expect(width(bootstrapMean(alike, 1))).toBeGreaterThan(5 * width(bootstrapMean(apart, 1)))
  })
})

it('quantile lies between neighbours', () => {
  expect(quantile([1, 2, 4], 0.5)).toBe(2)
  expect(quantile([1, 2, 4], 0.75)).toBe(3)
  expect(quantile([5], 0.99)).toBe(5)
})

it('expEstimate and isWithin', () => {
  const estimate = expEstimate({ value: 0, low: -1, high: 1 })
  expect(estimate).toEqual({ value: 1, low: Math.exp(-1), high: Math.E })
  expect([0.3, 0.4, 2.7, 2.8].map((value) => isWithin(value, estimate))).toEqual([false, true, true, false])
})
