import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import path from 'node:path'
import type { BenchRow } from './bench-row.ts'
import { chartSvg } from './chart.ts'
import type { KnownEngine } from './engine-list.ts'
import type { BenchModel } from './limit-share.ts'
import type { MachineLimits } from './machine-limits.ts'
import { formatNumber, markdownTable, sweepTable } from './markdown.ts'
import type { ServingResult } from './run-serving.ts'
import type { SpeedResult } from './run-speed.ts'
import { servingRows } from './serving-rows.ts'
import { medianLimits, speedRows } from './speed-rows.ts'

/** What one run measured of one model. */
export interface BenchRun {
  readonly model: BenchModel
  readonly fileBytes: number
  readonly threads: number
  readonly engines: readonly KnownEngine[]
  readonly speed: SpeedResult | null
  readonly serving: ServingResult | null
}

/** The table as text, the whole as JSON, and the chart. */
export interface BenchReport {
  readonly markdown: string
  readonly json: string
  readonly svg: string
}

export function createReport(run: BenchRun): BenchReport {
  const { model, threads, speed, serving } = run
  const names = run.engines.map(({ name }) => name)
  const rows: BenchRow[] = [
    ...(speed === null ? [] : speedRows({ ...run, result: speed, engines: names })),
    ...(serving === null ? [] : servingRows(serving)),
  ]
  const columns = run.engines.filter(({ name }) => rows.some(({ values }) => (values[name] ?? null) !== null))
  const limits = speed && medianLimits(speed.rounds)
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${threads} threads`
  const title = `${model.shape.name}, ${model.format}`
  const subtitle = [machine, ...(speed === null ? [] : [describeRounds(speed.rounds.length)])].join('; ')
  const { engines: _engines, ...measured } = run
  return {
    markdown: [
      `${title}; ${subtitle}`,
      ...(limits === null ? [] : [describeLimits(limits)]),
      markdownTable(rows, columns),
      ...sweeps(run),
      ...failures(run),
    ].join('\n\n'),
    json: `${JSON.stringify({ machine, node: process.version, measuredAt: new Date().toISOString(), rows, limits, ...measured }, null, 2)}\n`,
    svg: chartSvg({ title, subtitle, rows, columns }),
  }
}

/** Writes `NAME.json` and `NAME.svg`; returns the paths. */
export function writeReport(folder: string, name: string, { json, svg }: BenchReport): string[] {
  mkdirSync(folder, { recursive: true })
  return Object.entries({ json, svg }).map(([extension, content]) => {
    const file = path.join(folder, `${name}.${extension}`)
    writeFileSync(file, content)
    return file
  })
}

function describeLimits({ readBytesPerSecond, multiplyPerSecond }: MachineLimits): string {
  const of = (value: number | null, unit: number): string => formatNumber(value && value / unit)
  return `Limits: ${of(readBytesPerSecond, 1e9)} GB/s read, ${of(multiplyPerSecond, 1e12)} TOPS of int8; shares of them in brackets`
}

function describeRounds(count: number): string {
  return count === 1 ? 'one round' : `medians of ${count} rounds`
}

function sweeps({ engines, serving }: BenchRun): string[] {
  if (serving === null) return []
  return engines.flatMap(({ name, label }) => {
    const served = serving.engines[name]
    if (served === undefined) return []
    const highest = served.points.toSorted((a, b) => b.rate - a.rate)[0]
    const title = highest?.isWithin
      ? `Sweep of ${label}, ended by --points before the bound was broken:`
      : `Sweep of ${label}:`
    return [title, sweepTable(served.points, served.burst)]
  })
}

function failures({ speed, serving }: BenchRun): string[] {
  const all = [...(speed?.failures ?? []), ...(serving?.failures ?? [])]
  return all.length === 0 ? [] : [`Failed: ${all.join('; ')}`]
}
