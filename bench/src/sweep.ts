import type { LoadSummary } from './load-summary.ts'

/** One arrival rate of a sweep. */
export interface SweepPoint {
  /** Requests per second. */
  readonly rate: number
  readonly load: LoadSummary
  /** All requests done, and the p99 of the time to the first token within the bound. */
  readonly isWithin: boolean
}

/** Rates are steps of a ladder that all engines share. */
const stepsPerDoubling = 4

export interface SweepOptions {
  /** Where to begin: about what the engine should bear. */
  readonly firstRate: number
  readonly maxPoints: number
}

/**
 * Walks up the ladder of rates until the bound is broken, or down until it is kept; the next rate to try, or `null` at the
 * end: one step lies within, the step above does not.
 */
export function nextRate(points: readonly SweepPoint[], { firstRate, maxPoints }: SweepOptions): number | null {
  if (points.length >= maxPoints) return null
  if (points.length === 0) return rateOf(stepOf(firstRate))
  const within = points.filter(({ isWithin }) => isWithin).map(({ rate }) => stepOf(rate))
  const beyond = points.filter(({ isWithin }) => !isWithin).map(({ rate }) => stepOf(rate))
  if (within.length === 0) return rateOf(Math.min(...beyond) - 1)
  const next = Math.max(...within) + 1
  return beyond.includes(next) ? null : rateOf(next)
}

export function isWithin(load: LoadSummary, maxTtftMs: number): boolean {
  return load.isComplete && load.ttftMs.p99 !== null && load.ttftMs.p99 <= maxTtftMs
}

/** The point within the bound that did the most; `null` where none was. */
export function bestPoint(points: readonly SweepPoint[]): SweepPoint | null {
  return (
    points
      .filter(({ isWithin }) => isWithin)
      .toSorted((a, b) => b.load.totalTokensPerSecond - a.load.totalTokensPerSecond)[0] ?? null
  )
}

function stepOf(rate: number): number {
  return Math.round(stepsPerDoubling * Math.log2(rate))
}

function rateOf(step: number): number {
  return 2 ** (step / stepsPerDoubling)
}
