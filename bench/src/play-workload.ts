import type { BenchEngine } from './bench-engine.ts'
import { numAllowedAbove } from './percentile.ts'
import type { Arrival } from './workload.ts'

/** What one request saw, in milliseconds since the load began. */
export interface RequestRecord {
  readonly arrivedAtMs: number
  readonly promptLength: number
  /** One entry per token. */
  readonly tokensAtMs: readonly number[]
  readonly isComplete: boolean
}

export interface PlayOptions {
  /** Where given, the load ends as soon as its p99 of the time to the first token must be above this. */
  readonly maxTtftMs: number | null
  /** The load ends then in any case; what still runs counts as incomplete. */
  readonly timeoutMs: number
}

/** Sends every request at its time, whether or not the engine keeps up, and notes when each token comes. */
export async function playWorkload(
  engine: BenchEngine,
  arrivals: readonly Arrival[],
  { maxTtftMs, timeoutMs }: PlayOptions,
): Promise<RequestRecord[]> {
  const { generate } = engine
  if (generate === null) throw new Error(`${engine.description} cannot serve requests that come and go.`)
  const ended = new AbortController()
  const timeout = setTimeout(() => ended.abort(), timeoutMs)
  const start = performance.now()
  let numLate = 0
  const noteLate = (): void => {
    if (++numLate > numAllowedAbove(99, arrivals.length)) ended.abort()
  }
  const send = async ({ atMs, prompt, numTokens }: Arrival): Promise<RequestRecord> => {
    const tokensAtMs: number[] = []
    const record = (): RequestRecord => ({
      arrivedAtMs: atMs,
      promptLength: prompt.length,
      tokensAtMs,
      isComplete: tokensAtMs.length === numTokens,
    })
    await waitFor(start + atMs - performance.now(), ended.signal)
    if (ended.signal.aborted) return record()
    const late = maxTtftMs === null ? null : setTimeout(noteLate, maxTtftMs)
    const onTokens = (count: number): void => {
      if (late !== null) clearTimeout(late)
      const now = performance.now() - start
      for (let i = 0; i < count; i++) tokensAtMs.push(now)
    }
    try {
      await generate({ prompt, numTokens, onTokens, signal: ended.signal })
    } catch (error) {
      if (!ended.signal.aborted) throw error
    } finally {
      if (late !== null) clearTimeout(late)
    }
    return record()
  }
  try {
    return await Promise.all(arrivals.map(send))
  } finally {
    clearTimeout(timeout)
    ended.abort()
  }
}

/** Ends early with the signal, without an error. */
function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timeout = setTimeout(resolve, Math.max(0, ms))
    signal.addEventListener('abort', () => {
      clearTimeout(timeout)
      resolve()
    })
  })
}
