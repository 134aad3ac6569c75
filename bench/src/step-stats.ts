import type { Step, StepLog, StepPlace } from './step-log.ts'

export interface CollectiveShares {
  /** Of the time of all ranks in their steps, what they were inside collectives. */
  readonly mean: number
  /** The same of the rank that waited least in each step: about what the exchange itself takes. */
  readonly least: number
}

export interface PipelineStats {
  /** Of the last stage. */
  readonly numPlans: number
  /** Mean over the window. */
  readonly plansInFlight: number
  /** Of the time of all stages, from the first one's begin until the last one's end. */
  readonly idleShare: number
  /** From when a stage is done and the next one is free until that one begins; median. */
  readonly handOverMs: number
}

/** Of steps of ranks that share every layer; `null` without any. */
export function collectiveShares(logs: readonly StepLog[]): CollectiveShares | null {
  const ranks = logs
    .map(({ steps }) => steps.filter(({ place }) => place !== 'driver'))
    .filter(({ length }) => length > 0)
  const all = ranks.flat()
  if (all.length === 0) return null
  // Ranks log the same plans in the same order.
  const least = (ranks[0] ?? []).map((_, i) =>
    ranks.flatMap((steps) => steps[i] ?? []).reduce((a, b) => (a.communicationMs <= b.communicationMs ? a : b)),
  )
  return { mean: shareOf(all), least: shareOf(least) }
}

/** (p − 1) / (m + p − 1): what stages idle at least until m plans of equal length are through p of them. */
export function idealIdleShare(numPlans: number, numStages: number): number {
  return (numStages - 1) / (numPlans + numStages - 1)
}

/**
 * Of two stages. Decoding counts from when no prompt is computed any more: what is before belongs to the prompts.
 * `null` without steps of both.
 */
export function pipelineStats(logs: readonly StepLog[], phase: 'prefill' | 'decode'): PipelineStats | null {
  const at = (place: StepPlace): Step[] => logs.flatMap(({ steps }) => steps.filter((step) => step.place === place))
  const [drivers, firsts, lasts] = [at('driver'), at('stage'), at('last-stage')].map((steps) => ofPhase(steps, phase))
  if (!drivers?.length || !firsts?.length || firsts.length !== lasts?.length) return null
  const busyMs = sum([...firsts, ...lasts].map(durationOf))
  return {
    numPlans: lasts.length,
    plansInFlight: sum(drivers.map(durationOf)) / spanOf(drivers),
    idleShare: 1 - busyMs / (2 * spanOf([...firsts, ...lasts])),
    handOverMs: handOver(firsts, lasts),
  }
}

function ofPhase(steps: readonly Step[], phase: 'prefill' | 'decode'): Step[] {
  const lastPrompt = steps.findLastIndex(({ numTokens, numSequences }) => numTokens > numSequences)
  return phase === 'decode' ? steps.slice(lastPrompt + 1) : steps.slice(0, lastPrompt + 1)
}

function handOver(firsts: readonly Step[], lasts: readonly Step[]): number {
  const delays = lasts.map(({ startedMs }, i) => {
    const isSentMs = firsts[i]?.endedMs ?? startedMs
    const isFreeMs = lasts[i - 1]?.endedMs ?? 0
    return startedMs - Math.max(isSentMs, isFreeMs)
  })
  return delays.sort((a, b) => a - b)[delays.length >> 1] ?? 0
}

function shareOf(steps: readonly Step[]): number {
  return sum(steps.map(({ communicationMs }) => communicationMs)) / sum(steps.map(durationOf))
}

function durationOf({ startedMs, endedMs }: Step): number {
  return endedMs - startedMs
}

function spanOf(steps: readonly Step[]): number {
  return Math.max(...steps.map(({ endedMs }) => endedMs)) - Math.min(...steps.map(({ startedMs }) => startedMs))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
