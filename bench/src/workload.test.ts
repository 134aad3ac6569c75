import { expect, test } from 'vitest'
import { createWorkload } from './workload.ts'

const options = {
  seed: 7,
  numRequests: 4000,
  rate: 2,
  promptLengths: { min: 32, max: 512 },
  outputLengths: { min: 16, max: 128 },
}

test('arrivals come at the rate, with gaps of an exponential distribution', () => {
  const arrivals = createWorkload(options)
  const gaps = arrivals.slice(1).map(({ atMs }, i) => atMs - (arrivals[i]?.atMs ?? 0))
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
  expect(mean).toBeGreaterThan(475)
  expect(mean).toBeLessThan(525)
  // Of an exponential distribution both are equal.
  expect(deviation / mean).toBeGreaterThan(0.95)
  expect(deviation / mean).toBeLessThan(1.05)
})

test('lengths keep their range and fill it evenly by their logarithm', () => {
  const arrivals = createWorkload(options)
  const lengths = arrivals.map(({ prompt }) => prompt.length)
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(32)
  expect(Math.max(...lengths)).toBeLessThanOrEqual(512)
  const shareBelow128 = lengths.filter((length) => length < 128).length / lengths.length
  expect(shareBelow128).toBeGreaterThan(0.47)
  expect(shareBelow128).toBeLessThan(0.53)
  for (const { numTokens } of arrivals) {
    expect(numTokens).toBeGreaterThanOrEqual(16)
    expect(numTokens).toBeLessThanOrEqual(128)
  }
})

test('the rate stretches the arrivals and changes nothing else', () => {
  const slow = createWorkload({ ...options, numRequests: 20 })
  const fast = createWorkload({ ...options, numRequests: 20, rate: 4 })
  for (const [i, arrival] of slow.entries()) {
    expect(fast[i]?.atMs).toBeCloseTo(arrival.atMs / 2, 6)
    expect({ ...fast[i], atMs: 0 }).toEqual({ ...arrival, atMs: 0 })
  }
})

test('an infinite rate sends all at once, a seed names the work', () => {
  const burst = createWorkload({ ...options, numRequests: 20, rate: Infinity })
  expect(burst.map(({ atMs }) => atMs)).toEqual(burst.map(() => 0))
  expect(createWorkload(options)).toEqual(createWorkload(options))
  expect(createWorkload({ ...options, seed: 8 })[0]).not.toEqual(createWorkload(options)[0])
})
