import type { Contestant } from './contestants.ts'
import { formatNumber, toMarkdown } from './markdown.ts'
import { median } from './percentile.ts'
import type { MemoryPeaks } from './process-memory.ts'
import type { Measurement, Measurements } from './run-contestants.ts'
import { idealIdleShare, type PipelineStats } from './step-stats.ts'

/** What one contestant did in each round. */
export interface SpeedColumn {
  readonly contestant: Contestant
  readonly rounds: readonly Measurements[]
}

export interface MemoryColumn {
  readonly contestant: Contestant
  readonly peaks: MemoryPeaks
}

type Phase = 'prefill' | 'decode'

/** Rates with what they are of one rank's, and below each the share of a step inside collectives. */
export function tensorTable(columns: readonly SpeedColumn[]): string {
  const [single, ...others] = columns
  const of = others.filter(({ contestant }) => contestant.parallel?.tp !== undefined)
  const lines = rowsOf(of).flatMap(([phase, size]) => {
    const rate = rateOf(single, phase, size)
    const shares = of.map((column) => {
      const mean = medianOf(column, [phase, size], ({ shares }) => shares?.mean)
      const least = medianOf(column, [phase, size], ({ shares }) => shares?.least)
      return `${percent(mean)} (${percent(least)})`
    })
    return [
      [`${phase} ${size}, tok/s`, formatNumber(rate), ...of.map((column) => rated(rateOf(column, phase, size), rate))],
      ['… of it in collectives', '', ...shares],
    ]
  })
  return table(['tensor parallel', '1 rank', ...of.map(({ contestant }) => contestant.label)], lines)
}

/** Rates with what they are of one rank's, and what the stages did meanwhile. */
export function pipelineTable(columns: readonly SpeedColumn[]): string {
  const [single, ...others] = columns
  const of = others.filter(({ contestant }) => contestant.parallel?.pp !== undefined)
  const lines = of.flatMap((column) =>
    rowsOf([column]).map((row) => [
      `${column.contestant.label}: ${row.join(' ')}`,
      rated(rateOf(column, ...row), rateOf(single, ...row)),
      ...pipelineCells((pick) =>
        medianOf(column, row, ({ pipeline }) => (pipeline === null ? undefined : pick(pipeline))),
      ),
    ]),
  )
  return table(['pipeline parallel', 'tok/s', ...pipelineHeader], lines)
}

const pipelineHeader = [
  'stages, ms',
  'plans in flight',
  'idle',
  '… steps of unequal length',
  '… waiting for a CPU',
  '… the rest',
  '(p − 1)/(m + p − 1)',
  'hand-over, ms',
]

function pipelineCells(stat: (pick: (stats: PipelineStats) => number) => number | null): string[] {
  const numPlans = stat((stats) => stats.numPlans)
  const stageMs = [0, 1].map((stage) => formatNumber(stat((stats) => stats.stageMs[stage] ?? Number.NaN)))
  return [
    stageMs.join(' / '),
    formatNumber(stat(({ plansInFlight }) => plansInFlight)),
    percent(stat(({ idleShare }) => idleShare)),
    percent(stat(({ unevenShare }) => unevenShare)),
    percent(stat(({ crowdedShare }) => crowdedShare)),
    percent(stat(({ idleShare, unevenShare, crowdedShare }) => idleShare - unevenShare - crowdedShare)),
    percent(numPlans === null ? null : idealIdleShare(numPlans, 2)),
    formatNumber(stat(({ handOverMs }) => handOverMs)),
  ]
}

/** Ranks that are threads have their process's part each. */
export function memoryTable(columns: readonly MemoryColumn[]): string {
  const perRank = columns.map(({ contestant: { parallel }, peaks: { engineBytes, rankBytes } }) =>
    rankBytes.length > 0 ? Math.max(...rankBytes) : engineBytes / ((parallel?.tp ?? 1) * (parallel?.pp ?? 1)),
  )
  const lines = columns.map(({ contestant, peaks }, i) => [
    contestant.label,
    formatNumber((perRank[i] ?? Number.NaN) / 1e6),
    formatNumber((perRank[i] ?? Number.NaN) / (perRank[0] ?? Number.NaN)),
    peaks.rankBytes.length > 0 ? formatNumber(peaks.engineBytes / 1e6) : '',
  ])
  return table(['peak memory', 'per rank, MB', 'of 1 rank', "engine's process beside them, MB"], lines)
}

function rowsOf(columns: readonly SpeedColumn[]): [Phase, number][] {
  const plan = columns[0]?.contestant.plan
  return (['prefill', 'decode'] as const).flatMap((phase) =>
    (plan?.[phase] ?? []).map((size): [Phase, number] => [phase, size]),
  )
}

function rateOf(column: SpeedColumn | undefined, phase: Phase, size: number): number | null {
  return medianOf(column, [phase, size], ({ tokensPerSecond }) => tokensPerSecond)
}

function medianOf(
  column: SpeedColumn | undefined,
  [phase, size]: [Phase, number],
  of: (measurement: Measurement) => number | undefined,
): number | null {
  const values = (column?.rounds ?? []).flatMap((round) => {
    const measurement = round[phase][size]
    const value = measurement && of(measurement)
    return value === undefined || !Number.isFinite(value) ? [] : [value]
  })
  return values.length === 0 ? null : median(values)
}

function rated(value: number | null, ofValue: number | null): string {
  return value === null || ofValue === null ? '—' : `${formatNumber(value)} (${(value / ofValue).toFixed(2)})`
}

function percent(share: number | null): string {
  return share === null ? '—' : `${(100 * share).toFixed(1)} %`
}

function table(header: readonly string[], lines: readonly (readonly string[])[]): string {
  return toMarkdown([header, header.map(() => '---'), ...lines])
}
