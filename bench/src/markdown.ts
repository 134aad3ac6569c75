import { type BenchRow, ratioOf } from './bench-row.ts'
import type { LoadSummary } from './load-summary.ts'
import type { SweepPoint } from './sweep.ts'

/** An engine as a column. */
export interface Column {
  readonly name: string
  readonly label: string
}

/** A value, its share of the limit behind it, and after the last engine how many times as good the first is as each other. */
export function markdownTable(rows: readonly BenchRow[], columns: readonly Column[]): string {
  const [first, ...others] = columns
  const lines = rows.map((row) => {
    const values = columns.map(({ name }) => formatValue(row.values[name] ?? null, row.shares[name] ?? null))
    const ratios = others.map(({ name }) => formatRatio(first && ratioOf(row, first.name, name)))
    return [`${row.name}, ${row.unit}`, ...values, ...ratios]
  })
  const header = ['', ...columns.map(({ label }) => label), ...others.map(({ label }) => `× ${label}`)]
  return toMarkdown([header, header.map(() => '---'), ...lines])
}

/** Every rate that was tried, lowest first. */
export function sweepTable(points: readonly SweepPoint[], burst: LoadSummary): string {
  const header = [
    'arrivals, req/s',
    'total, tok/s',
    'output, tok/s',
    'TTFT p50, ms',
    'TTFT p99, ms',
    'ITL p50, ms',
    'ITL p99, ms',
    'within',
  ]
  const line = (rate: string, load: LoadSummary, within: string): string[] => {
    if (!load.isComplete) return [rate, ...Array.from({ length: 6 }, () => '—'), within]
    const { totalTokensPerSecond, outputTokensPerSecond, ttftMs, itlMs } = load
    const figures = [totalTokensPerSecond, outputTokensPerSecond, ttftMs.p50, ttftMs.p99, itlMs.p50, itlMs.p99]
    return [rate, ...figures.map((figure) => formatNumber(figure)), within]
  }
  const lines = points
    .toSorted((a, b) => a.rate - b.rate)
    .map(({ rate, load, isWithin }) => line(rate.toFixed(2), load, isWithin ? 'yes' : 'no'))
  return toMarkdown([header, header.map(() => '---'), ...lines, line('all at once', burst, '')])
}

export function formatNumber(value: number | null): string {
  if (value === null) return '—'
  if (Math.abs(value) >= 1000) return value.toFixed(0)
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function formatValue(value: number | null, share: number | null): string {
  return share === null ? formatNumber(value) : `${formatNumber(value)} (${(100 * share).toFixed(0)} %)`
}

function formatRatio(ratio: number | null | undefined): string {
  return ratio == null ? '—' : ratio.toFixed(2)
}

export function toMarkdown(lines: readonly (readonly string[])[]): string {
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
