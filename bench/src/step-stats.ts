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
  /** Mean step of each stage. */
  readonly stageMs: readonly number[]
  /** Of the time of all stages in the window, that in which they compute nothing. */
  readonly idleShare: number
  /** The part of `idleShare` that steps of these lengths leave with nothing between them, beyond what equal ones would. */
  readonly unevenShare: number
  /** The part in which a stage had its plan and its input, and no processor. */
  readonly crowdedShare: number
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
 * Of two stages. Prompts count until the last stage is done with them, decoding from then on: what is before belongs to
 * the prompts. `null` without steps of both.
 */
export function pipelineStats(logs: readonly StepLog[], phase: 'prefill' | 'decode'): PipelineStats | null {
  const at = (place: StepPlace): Step[] => logs.flatMap(({ steps }) => steps.filter((step) => step.place === place))
  const [drivers, firsts, lasts] = (['driver', 'stage', 'last-stage'] as const).map((place) =>
    ofPhase(at(place), phase),
  )
  if (!drivers?.length || !firsts?.length || firsts.length !== lasts?.length) return null
  const promptsEndMs = phase === 'prefill' ? -Infinity : (ofPhase(at('last-stage'), 'prefill').at(-1)?.endedMs ?? 0)
  const startMs = Math.max(promptsEndMs, Math.min(...firsts.map(({ startedMs }) => startedMs)))
  const endMs = Math.max(...lasts.map(({ endedMs }) => endedMs))
  /** Of a step that lies in the window in part, that part. */
  const within = ({ startedMs, endedMs }: Step): number =>
    Math.max(0, Math.min(endMs, endedMs) - Math.max(startMs, startedMs))
  const lengths = { firsts: firsts.map(within), lasts: lasts.map(within) }
  const busyMs = sum([...lengths.firsts, ...lengths.lasts])
  const mean = sum([...firsts, ...lasts].map(durationOf)) / (2 * lasts.length)
  const equal = (steps: readonly Step[]): number[] => steps.map((step) => (mean * within(step)) / durationOf(step))
  return {
    numPlans: lasts.length,
    plansInFlight: sum(drivers.map(within)) / (endMs - startMs),
    stageMs: [firsts, lasts].map((steps) => sum(steps.map(durationOf)) / steps.length),
    idleShare: 1 - busyMs / (2 * (endMs - startMs)),
    unevenShare: Math.max(0, idleOf(lengths) - idleOf({ firsts: equal(firsts), lasts: equal(lasts) })),
    crowdedShare: crowdedMs({ drivers, firsts, lasts }) / (2 * (endMs - startMs)),
    handOverMs: handOver(firsts, lasts),
  }
}

function ofPhase(steps: readonly Step[], phase: 'prefill' | 'decode'): Step[] {
  const lastPrompt = steps.findLastIndex(({ numTokens, numSequences }) => numTokens > numSequences)
  return phase === 'decode' ? steps.slice(lastPrompt + 1) : steps.slice(0, lastPrompt + 1)
}

interface StepLengths {
  readonly firsts: readonly number[]
  readonly lasts: readonly number[]
}

/** What two stages idle over steps of these lengths, with two plans in flight and no time between steps. */
function idleOf({ firsts, lasts }: StepLengths): number {
  let firstEnd = 0
  /** Of the plan before, and the one before that, for which a new one is in flight. */
  let [lastEnd, lastEndBefore] = [0, 0]
  for (const [i, first] of firsts.entries()) {
    firstEnd = Math.max(firstEnd, lastEndBefore) + first
    lastEndBefore = lastEnd
    lastEnd = Math.max(firstEnd, lastEnd) + (lasts[i] ?? 0)
  }
  return 1 - (sum(firsts) + sum(lasts)) / (2 * lastEnd)
}

interface StageSteps {
  readonly drivers: readonly Step[]
  readonly firsts: readonly Step[]
  readonly lasts: readonly Step[]
}

/** Waiting for a processor, between when a stage had all that it needs and its begin. */
function crowdedMs({ drivers, firsts, lasts }: StageSteps): number {
  const waits = (steps: readonly Step[], readyAtMs: (i: number) => number): number[] =>
    steps.slice(1).map(({ startedMs, runDelayAtStartMs }, i) => {
      const before = steps[i]!
      const readyMs = Math.max(before.endedMs, readyAtMs(i + 1))
      return Math.max(0, Math.min(runDelayAtStartMs - before.runDelayAtEndMs, startedMs - readyMs))
    })
  return sum([
    ...waits(firsts, (i) => drivers[i]?.startedMs ?? Infinity),
    ...waits(lasts, (i) => firsts[i]?.endedMs ?? Infinity),
  ])
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

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
