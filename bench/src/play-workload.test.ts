import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { BenchEngine, BenchRequest } from './bench-engine.ts'
import { playWorkload } from './play-workload.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Answers one token every `msPerToken`, for each request alone. */
function createEngine(msPerToken: number): BenchEngine {
  const generate = async ({ numTokens, onTokens, signal }: BenchRequest): Promise<void> => {
    for (let i = 0; i < numTokens; i++) {
      await new Promise((resolve) => setTimeout(resolve, msPerToken))
      if (signal.aborted) return
      onTokens(1)
    }
  }
  return {
    description: 'a clock',
    prepare: async () => {},
    generateAll: async () => {},
    generate,
    shutdown: async () => {},
  }
}

const arrivals = [0, 100, 250].map((atMs) => ({ atMs, prompt: [1, 2], numTokens: 2 }))

test('every request is sent at its time, whether or not the ones before are done', async () => {
  const played = playWorkload(createEngine(200), arrivals, { maxTtftMs: null, timeoutMs: 10_000 })
  await vi.advanceTimersByTimeAsync(2000)
  expect(await played).toEqual([
    { arrivedAtMs: 0, promptLength: 2, tokensAtMs: [200, 400], isComplete: true },
    { arrivedAtMs: 100, promptLength: 2, tokensAtMs: [300, 500], isComplete: true },
    { arrivedAtMs: 250, promptLength: 2, tokensAtMs: [450, 650], isComplete: true },
  ])
})

test('the load ends as soon as the bound cannot be kept', async () => {
  const played = playWorkload(createEngine(200), arrivals, { maxTtftMs: 150, timeoutMs: 10_000 })
  await vi.advanceTimersByTimeAsync(200)
  const records = await Promise.race([played, vi.advanceTimersByTimeAsync(1000).then(() => played)])
  expect(records.map(({ isComplete }) => isComplete)).toEqual([false, false, false])
  expect(records.map(({ tokensAtMs }) => tokensAtMs)).toEqual([[], [], []])
})

test('a bound that is kept changes nothing', async () => {
  const played = playWorkload(createEngine(200), arrivals, { maxTtftMs: 201, timeoutMs: 10_000 })
  await vi.advanceTimersByTimeAsync(2000)
  expect((await played).every(({ isComplete }) => isComplete)).toBe(true)
})

test('what has not ended at the timeout is incomplete', async () => {
  const played = playWorkload(createEngine(200), arrivals, { maxTtftMs: null, timeoutMs: 410 })
  await vi.advanceTimersByTimeAsync(2000)
  expect((await played).map(({ tokensAtMs }) => tokensAtMs.length)).toEqual([2, 1, 0])
})

test('an engine that fails fails the load', async () => {
  const engine = { ...createEngine(1), generate: () => Promise.reject(new Error('out of memory')) }
  const played = playWorkload(engine, arrivals, { maxTtftMs: null, timeoutMs: 1000 })
  await Promise.all([expect(played).rejects.toThrow('out of memory'), vi.advanceTimersByTimeAsync(2000)])
  await expect(
    playWorkload({ ...engine, generate: null }, arrivals, { maxTtftMs: null, timeoutMs: 1000 }),
  ).rejects.toThrow('a clock cannot serve')
})
