import type { BenchRow } from './bench-row.ts'
import { type BenchModel, decodeBytes, loadBytes, prefillOperations } from './limit-share.ts'
import type { MachineLimits } from './machine-limits.ts'
import { median } from './percentile.ts'
import type { EngineSpeed, SpeedResult, SpeedRound } from './run-speed.ts'

export interface SpeedRowsOptions {
  readonly result: SpeedResult
  readonly engines: readonly string[]
  readonly model: BenchModel
  readonly fileBytes: number
}

interface Measure {
  readonly name: string
  readonly unit: string
  readonly isHigherBetter: boolean
  readonly of: (speed: EngineSpeed) => number | undefined
  /** The limit that it runs into, and what a value takes of it. */
  readonly limit?: keyof MachineLimits
  readonly use?: (value: number) => number
}

/** Medians over the rounds, and what they are of the medians of the limits. */
export function speedRows({ result, engines, model, fileBytes }: SpeedRowsOptions): BenchRow[] {
  const limits = medianLimits(result.rounds)
  return measuresOf(result, model, fileBytes).map(({ name, unit, isHigherBetter, of, limit, use }) => {
    const values: Record<string, number | null> = {}
    const shares: Record<string, number | null> = {}
    const limitValue = limit === undefined ? null : limits[limit]
    for (const engine of engines) {
      const value = medianOf(result.rounds, engine, of)
      values[engine] = value
      if (use !== undefined) shares[engine] = value === null || limitValue === null ? null : use(value) / limitValue
    }
    return { name, unit, isHigherBetter, values, shares }
  })
}

function measuresOf({ plan }: SpeedResult, model: BenchModel, fileBytes: number): Measure[] {
  return [
    ...plan.prefill.map((length): Measure => ({
      name: `prefill ${length}`,
      unit: 'tok/s',
      isHigherBetter: true,
      of: ({ prefill }) => prefill[length],
      limit: 'multiplyPerSecond',
      use: (value) => prefillOperations(value, model),
    })),
    ...plan.decode.map((count): Measure => ({
      name: `decode ${count}`,
      unit: 'tok/s',
      isHigherBetter: true,
      of: ({ decode }) => decode[count],
      limit: 'readBytesPerSecond',
      use: (value) => decodeBytes(value, count, model),
    })),
    {
      name: 'load',
      unit: 'ms',
      isHigherBetter: false,
      of: ({ loadMs }) => loadMs,
      limit: 'readBytesPerSecond',
      use: (value) => loadBytes(value, fileBytes),
    },
    {
      name: 'load and first token',
      unit: 'ms',
      isHigherBetter: false,
      of: ({ loadAndFirstTokenMs }) => loadAndFirstTokenMs,
    },
    { name: 'peak RSS', unit: 'MB', isHigherBetter: false, of: ({ peakRssBytes }) => peakRssBytes / 1e6 },
  ]
}

/** `null` where no round could measure it. */
export function medianLimits(rounds: readonly Pick<SpeedRound, 'limits'>[]): MachineLimits {
  const of = (name: keyof MachineLimits): number | null =>
    medianOrNull(rounds.map(({ limits }) => limits[name]).filter((value) => value !== null))
  return { readBytesPerSecond: of('readBytesPerSecond'), multiplyPerSecond: of('multiplyPerSecond') }
}

function medianOf(rounds: readonly SpeedRound[], engine: string, of: Measure['of']): number | null {
  return medianOrNull(
    rounds.flatMap(({ engines }) => {
      const speed = engines[engine]
      const value = speed === undefined ? undefined : of(speed)
      return value === undefined || !Number.isFinite(value) ? [] : [value]
    }),
  )
}

function medianOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : median(values)
}
