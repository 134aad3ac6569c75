import { expect, test } from 'vitest'
import type { LoadSummary } from './load-summary.ts'
import { bestPoint, isWithin, nextRate, type SweepPoint } from './sweep.ts'

const load = (p99: number, totalTokensPerSecond = 1): LoadSummary => ({
  numRequests: 1,
  isComplete: true,
  durationMs: 1000,
  totalTokensPerSecond,
  outputTokensPerSecond: 1,
  ttftMs: { p50: 1, p99 },
  itlMs: { p50: 1, p99: 1 },
})

/** An engine that keeps the bound up to this rate. */
function sweep(maxRate: number, firstRate: number, maxPoints = 20): SweepPoint[] {
  const points: SweepPoint[] = []
  for (;;) {
    const rate = nextRate(points, { firstRate, maxPoints })
    if (rate === null) return points
    points.push({ rate, load: load(1, rate), isWithin: rate <= maxRate })
  }
}

test.each([
  ['up', 0.3],
  ['down', 3],
  ['hardly', 1.05],
])('walks %s to the highest rate within the bound, from %f', (_, firstRate) => {
  const points = sweep(1.1, firstRate)
  expect(bestPoint(points)?.rate).toBe(1)
  expect(points.map(({ rate }) => rate)).toContain(2 ** 0.25)
  expect(new Set(points.map(({ rate }) => rate)).size).toBe(points.length)
})

test('every engine is tried on the same ladder', () => {
  const rates = [...sweep(0.4, 0.31), ...sweep(0.4, 0.77)].map(({ rate }) => 4 * Math.log2(rate))
  for (const step of rates) expect(step).toBeCloseTo(Math.round(step), 9)
})

test('ends after so many points, and then no point may be within', () => {
  const points = sweep(0.01, 8, 3)
  expect(points).toHaveLength(3)
  expect(bestPoint(points)).toBeNull()
})

test('within: all requests done, and the p99 not above the bound', () => {
  expect(isWithin(load(5000), 5000)).toBe(true)
  expect(isWithin(load(5001), 5000)).toBe(false)
  expect(isWithin({ ...load(1), isComplete: false }, 5000)).toBe(false)
  expect(isWithin({ ...load(1), ttftMs: { p50: 1, p99: null } }, 5000)).toBe(false)
})

test('the best point did the most work, not the highest rate', () => {
  const points = [
    { rate: 1, load: load(1, 300), isWithin: true },
    { rate: 2, load: load(1, 290), isWithin: true },
    { rate: 4, load: load(1, 900), isWithin: false },
  ]
  expect(bestPoint(points)?.rate).toBe(1)
})
