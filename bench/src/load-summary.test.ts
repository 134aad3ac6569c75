import { expect, test } from 'vitest'
import { summarizeLoad } from './load-summary.ts'

const record = (arrivedAtMs: number, tokensAtMs: number[], isComplete = true) => ({
  arrivedAtMs,
  promptLength: 10,
  tokensAtMs,
  isComplete,
})

test('throughput counts from the first arrival to the last token', () => {
  const load = summarizeLoad([record(500, [600, 700]), record(1000, [1500, 2500])])
  expect(load.durationMs).toBe(2000)
  expect(load.totalTokensPerSecond).toBe(12)
  expect(load.outputTokensPerSecond).toBe(2)
  expect(load.isComplete).toBe(true)
})

test('times to the first token are from the arrival, times between tokens over all requests', () => {
  const load = summarizeLoad([record(500, [600, 700]), record(1000, [1500, 2500, 2505])])
  expect(load.ttftMs).toEqual({ p50: 100, p99: 500 })
  expect(load.itlMs).toEqual({ p50: 100, p99: 1000 })
})

test('a request without a token is infinitely late, and its prompt is not counted', () => {
  const load = summarizeLoad([record(0, [100, 1000]), record(0, [], false)])
  expect(load.isComplete).toBe(false)
  expect(load.totalTokensPerSecond).toBe(12)
  expect(load.ttftMs).toEqual({ p50: 100, p99: null })
})

test('one token each: no time lies between tokens', () => {
  expect(summarizeLoad([record(0, [10])]).itlMs).toEqual({ p50: null, p99: null })
})
