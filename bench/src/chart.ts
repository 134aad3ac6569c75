import type { BenchRow } from './bench-row.ts'
import { type Column, formatNumber } from './markdown.ts'

export interface ChartOptions {
  readonly title: string
  readonly subtitle: string
  readonly rows: readonly BenchRow[]
  readonly columns: readonly Column[]
}

const width = 860
const left = 270
const right = 130
const barHeight = 13
const gap = 12
const top = 84
/** One per column; told apart by those who see no red or green, too. */
const colors = ['#1f5fbf', '#e08a1e', '#7a7a7a', '#3f9e8f']

/** Bars in SVG, a group per row. Every row has its own scale: its longest bar is the largest value. */
export function chartSvg({ title, subtitle, rows, columns }: ChartOptions): string {
  const groupHeight = columns.length * barHeight + gap
  const height = top + rows.length * groupHeight + 16
  const legend = columns.flatMap(({ label }, i) => [
    `<rect x="${20 + i * 170}" y="56" width="12" height="12" fill="${colorOf(i)}"/>`,
    text([38 + i * 170, 66], label),
  ])
  const groups = rows.flatMap((row, i) => {
    const y = top + i * groupHeight
    const middle = y + (columns.length * barHeight) / 2 + 4
    const arrow = row.isHigherBetter ? '' : ', less is better'
    return [
      text([left - 10, middle], `${row.name}, ${row.unit}${arrow}`, 'text-anchor="end"'),
      ...bars(row, columns, y),
    ]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text([20, 26], title, 'font-size="16" font-weight="600"'),
    text([20, 44], subtitle, 'fill="#666"'),
    ...legend,
    ...groups,
    '</svg>\n',
  ].join('\n')
}

function bars(row: BenchRow, columns: readonly Column[], y: number): string[] {
  const values = columns.map(({ name }) => row.values[name] ?? null)
  const largest = Math.max(...values.map((value) => value ?? 0))
  return values.flatMap((value, i) => {
    const barY = y + i * barHeight
    const length = value === null || largest === 0 ? 0 : ((width - left - right) * value) / largest
    const share = row.shares[columns[i]?.name ?? ''] ?? null
    const label =
      share === null ? formatNumber(value) : `${formatNumber(value)} · ${(100 * share).toFixed(0)} % of limit`
    return [
      `<rect x="${left}" y="${barY}" width="${length.toFixed(1)}" height="${barHeight - 2}" fill="${colorOf(i)}"/>`,
      text([Math.round(left + length + 5), barY + barHeight - 4], label, 'font-size="10"'),
    ]
  })
}

function text([x, y]: readonly [number, number], content: string, attributes = ''): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escapeXml(content)}</text>`
}

function colorOf(column: number): string {
  return colors[column % colors.length] ?? '#000'
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
