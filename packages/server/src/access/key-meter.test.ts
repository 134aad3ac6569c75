import { expect, it } from 'vitest'
import { KeyMeter } from './key-meter.ts'
import { formatSpan } from './retry-after.ts'

it('gives back evenly what a minute allows, and no more than that', () => {
  let now = 0
  const limits = { requestsPerMinute: 60, tokensPerMinute: null, maxConcurrentRequests: null }
  const meter = new KeyMeter(limits, () => now)
  const open = (count: number): number => {
    let numOpen = 0
    for (let i = 0; i < count; i++) {
      try {
        meter.open()
        numOpen++
      } catch {}
    }
    return numOpen
  }
  expect(open(100)).toBe(60)
  now += 10_000
  expect(open(100)).toBe(10)
  now += 999
  expect(open(1)).toBe(0)
  now += 3_600_000
  expect(open(100)).toBe(60)
  meter.setLimits({ ...limits, requestsPerMinute: 120 })
  expect(open(100)).toBe(60)
})

it.each([
  [0, '0ms'],
  [16.2, '17ms'],
  [1500, '1.5s'],
  [59_999, '60s'],
  [360_000, '6m0s'],
  [61_001, '1m2s'],
])('%d ms are %s', (ms, text) => {
  expect(formatSpan(ms)).toBe(text)
})
