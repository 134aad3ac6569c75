import { number } from './summary-table.ts'

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Axis {
  readonly label: string
  readonly isLog?: boolean
  /** Of a tick's value. */
  readonly format?: (value: number) => string
  /** Widens what the data spans. */
  readonly include?: readonly number[]
}

export interface Plot {
  /** For those who cannot see it. */
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  readonly kind: 'lines' | 'steps' | 'points'
}

const width = 720
const height = 340
const margin = { left: 76, right: 24, top: 16, bottom: 52 }
const numColors = 8

/** Inline SVG; colours come from the page's `--series-N`, so that they suit light and dark. */
export function plotSvg(plot: Plot): string {
  const scaleX = createScale(
    plot.x,
    plot.series.flatMap(({ points }) => points.map(([x]) => x)),
    [margin.left, width - margin.right],
  )
  const scaleY = createScale(
    plot.y,
    plot.series.flatMap(({ points }) => points.map(([, y]) => y)),
    [height - margin.bottom, margin.top],
  )
  const marks = plot.series.flatMap((series, s) => drawSeries(series, { plot, scaleX, scaleY, index: s }))
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(plot.title)}">`,
    ...scaleX.ticks.flatMap((tick) => [
      `<line class="grid" x1="${at(scaleX.place(tick))}" x2="${at(scaleX.place(tick))}" y1="${margin.top}" y2="${height - margin.bottom}"/>`,
      text([scaleX.place(tick), height - margin.bottom + 18], label(plot.x, tick), 'text-anchor="middle"'),
    ]),
    ...scaleY.ticks.flatMap((tick) => [
      `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at(scaleY.place(tick))}" y2="${at(scaleY.place(tick))}"/>`,
      text([margin.left - 8, scaleY.place(tick) + 4], label(plot.y, tick), 'text-anchor="end"'),
    ]),
    text([(margin.left + width - margin.right) / 2, height - 12], plot.x.label, 'text-anchor="middle"'),
    `<text transform="translate(14 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeText(plot.y.label)}</text>`,
    ...marks,
    '</svg>',
  ].join('\n')
}

interface Drawing {
  readonly plot: Plot
  readonly scaleX: Scale
  readonly scaleY: Scale
  readonly index: number
}

function drawSeries({ name, points }: Series, { plot, scaleX, scaleY, index }: Drawing): string[] {
  const color = seriesColor(index)
  const placed = points.map(([x, y]) => [scaleX.place(x), scaleY.place(y)] as const)
  if (plot.kind === 'points') {
    return placed.flatMap(([x, y]) => [
      `<circle cx="${at(x)}" cy="${at(y)}" r="6" fill="${color}"/>`,
      text(x > width * 0.7 ? [x - 11, y + 4] : [x + 11, y + 4], name, x > width * 0.7 ? 'text-anchor="end"' : ''),
    ])
  }
  const path = placed.map(([x, y], i) => {
    if (i === 0) return `M${at(x)} ${at(y)}`
    return plot.kind === 'steps' ? `H${at(x)}V${at(y)}` : `L${at(x)} ${at(y)}`
  })
  const dots = plot.kind === 'lines' && placed.length <= 48 ? placed : []
  return [
    `<path d="${path.join('')}" fill="none" stroke="${color}" stroke-width="2"${index % 2 === 1 ? ' stroke-dasharray="6 3"' : ''}><title>${escapeText(name)}</title></path>`,
    ...dots.map(([x, y]) => `<circle cx="${at(x)}" cy="${at(y)}" r="2.5" fill="${color}"/>`),
  ]
}

/** A list of names with their colours. */
export function legendHtml(names: readonly string[]): string {
  const entries = names.map((name, i) => `<li><i style="background:${seriesColor(i)}"></i>${escapeText(name)}</li>`)
  return `<ul class="legend">${entries.join('')}</ul>`
}

function seriesColor(index: number): string {
  return `var(--series-${index % numColors})`
}

interface Scale {
  readonly ticks: readonly number[]
  place(value: number): number
}

function createScale({ isLog = false, include = [] }: Axis, data: readonly number[], range: [number, number]): Scale {
  const values = [...data, ...include].filter((value) => Number.isFinite(value) && (!isLog || value > 0))
  const toLine = isLog ? Math.log10 : (value: number): number => value
  const lines = values.length === 0 ? [0, 1] : values.map(toLine)
  const [least, most] = [Math.min(...lines), Math.max(...lines)]
  const pad = most > least ? (most - least) * 0.06 : 0.5
  const isAtZero = !isLog && least >= 0 && least - pad < 0
  const [start, end] = [isAtZero ? 0 : least - pad, most + pad]
  const place = (value: number): number => {
    const share = ((isLog && value <= 0 ? start : toLine(value)) - start) / (end - start)
    return range[0] + share * (range[1] - range[0])
  }
  return { ticks: isLog ? logTicks(start, end) : linearTicks(start, end), place }
}

function linearTicks(start: number, end: number): number[] {
  const rough = (end - start) / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(start / step)
  return Array.from({ length: Math.max(0, Math.floor(end / step) - first + 1) }, (_, i) => (first + i) * step)
}

/** Decades; in a narrow span 2 and 5 between them, or what a linear axis would have. */
function logTicks(start: number, end: number): number[] {
  const decades = Array.from({ length: Math.floor(end) - Math.ceil(start) + 1 }, (_, i) => 10 ** (Math.ceil(start) + i))
  if (decades.length >= 3) return decades
  const fine = Array.from({ length: Math.ceil(end) - Math.floor(start) + 1 }, (_, i) => Math.floor(start) + i)
    .flatMap((exponent) => [1, 2, 5].map((factor) => factor * 10 ** exponent))
    .filter((value) => Math.log10(value) >= start && Math.log10(value) <= end)
  return fine.length >= 2 ? fine : linearTicks(10 ** start, 10 ** end)
}

function label({ format = number }: Axis, tick: number): string {
  return format(tick)
}

function text([x, y]: readonly [number, number], content: string, attributes = ''): string {
  return `<text x="${at(x)}" y="${at(y)}" ${attributes}>${escapeText(content)}</text>`
}

function at(place: number): string {
  return place.toFixed(1)
}

export function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
