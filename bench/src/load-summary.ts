import { percentile } from './percentile.ts'
import type { RequestRecord } from './play-workload.ts'

/** A serving load in numbers. */
export interface LoadSummary {
  readonly numRequests: number
  /** Every request had all its tokens; otherwise the load was ended early and its figures are of what was done until then. */
  readonly isComplete: boolean
  /** From the first arrival to the last token. */
  readonly durationMs: number
  /** Tokens of prompts and answers per second. */
  readonly totalTokensPerSecond: number
  readonly outputTokensPerSecond: number
  /** Time from arrival to the first token; a request without one counts as infinitely late. */
  readonly ttftMs: Percentiles
  /** Time between one token and the next, over all requests. */
  readonly itlMs: Percentiles
}

export interface Percentiles {
  readonly p50: number | null
  readonly p99: number | null
}

export function summarizeLoad(records: readonly RequestRecord[]): LoadSummary {
  const lastTokens = records.map(({ tokensAtMs }) => tokensAtMs.at(-1) ?? 0)
  const durationMs = Math.max(0, ...lastTokens) - Math.min(...records.map(({ arrivedAtMs }) => arrivedAtMs))
  const numOutput = records.reduce((sum, { tokensAtMs }) => sum + tokensAtMs.length, 0)
  const started = records.filter(({ tokensAtMs }) => tokensAtMs.length > 0)
  const numPrompt = started.reduce((sum, { promptLength }) => sum + promptLength, 0)
  const gaps = records.flatMap(({ tokensAtMs }) => tokensAtMs.slice(1).map((at, i) => at - (tokensAtMs[i] ?? at)))
  return {
    numRequests: records.length,
    isComplete: records.every(({ isComplete }) => isComplete),
    durationMs,
    totalTokensPerSecond: (1000 * (numPrompt + numOutput)) / durationMs,
    outputTokensPerSecond: (1000 * numOutput) / durationMs,
    ttftMs: percentilesOf(records.map(({ arrivedAtMs, tokensAtMs }) => (tokensAtMs[0] ?? Infinity) - arrivedAtMs)),
    itlMs: percentilesOf(gaps),
  }
}

/** `null` for what is not a finite number: JSON has no other word for it. */
function percentilesOf(values: readonly number[]): Percentiles {
  const of = (percent: number): number | null => {
    const value = percentile(values, percent)
    return Number.isFinite(value) ? value : null
  }
  return { p50: of(50), p99: of(99) }
}
