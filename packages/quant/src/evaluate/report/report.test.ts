import { describe, expect, it } from 'vitest'
import { logHistogram } from '../divergence.ts'
import type { ComparedModel, Evaluation, ModelFigures } from '../evaluation.ts'
import type { SpeedFigures } from '../measure-speed.ts'
import { formatEvaluation, markdownTable } from './format-evaluation.ts'
import { evaluationHtml } from './html-report.ts'
import { number } from './summary-table.ts'
import { plotSvg } from './svg-plot.ts'

const exact = (value: number): { value: number; low: number; high: number } => ({ value, low: value, high: value })

const speed: SpeedFigures = {
  prefillTokens: 64,
  prefill: 1000,
  decode1: 50,
  decode16: 400,
  weightBytes: 4096,
  rssBytes: 1e8,
  peakRssBytes: 2e8,
  backend: 'cpu',
}

const original: ModelFigures = {
  model: 'original',
  weightBytes: 4096,
  fileBytes: 4096,
  texts: [{ name: 'book.txt', numTokens: 100, perplexity: exact(8) }],
  tasks: [
    { name: 'qa', numItems: 200, metric: 'exact', score: { value: 0.9, low: 0.85, high: 0.93 }, exact: exact(0.9) },
  ],
  speed,
}

function modelOf(model: string, kl: number): ComparedModel {
  return {
    ...original,
    model,
    weightBytes: 1024,
    divergences: [
      {
        name: 'book.txt',
        divergence: {
          numTokens: 100,
          mean: { value: kl, low: kl / 2, high: kl * 2 },
          p50: kl / 3,
          p99: kl * 9,
          max: kl * 20,
          top1Agreement: exact(0.95),
          histogram: logHistogram([kl, kl / 3, kl * 9]),
        },
        perplexityRatio: exact(1.02),
      },
    ],
    taskComparisons: [
      { name: 'qa', difference: { value: -0.01, low: -0.02, high: 0.001 }, isWithinOriginal: kl < 0.1 },
    ],
    layerErrors: [0.1, 0.2, 0.15],
  }
}

const settings = {
  backend: 'cpu',
  seed: 1,
  windowTokens: 512,
  strideTokens: 256,
  maxTextTokens: 1000,
  maxAnswerTokens: 64,
  layerTokens: 64,
}
const evaluation: Evaluation = {
  settings,
  original,
  models: [modelOf('<script>w4</script>', 0.02), modelOf('w3', 0.3)],
}
const alone: Evaluation = { settings, original: { ...original, tasks: [], speed: null }, models: [] }

describe('formatEvaluation', () => {
  it('has a table of all models, of divergences, tasks and layers', () => {
    const tables = formatEvaluation(evaluation).split('\n\n')
    expect(tables).toHaveLength(4)
    expect(tables[0]).toContain('| w3 ')
    expect(tables[0]).toContain('0.300 (0.150 to 0.600)')
    expect(tables[2]).toContain('-1.00 (-2.00 to +0.10)')
    expect(tables[2]).toMatch(/w3 .*outside the interval/)
    expect(tables[3]).toContain('| w3                  | 0.100 | 0.200 | 0.150 |')
  })

  it('of one model alone has one table', () => {
    expect(formatEvaluation(alone).split('\n\n')).toHaveLength(1)
    expect(formatEvaluation(alone)).toContain('| 8.00 ')
  })
})

describe('evaluationHtml', () => {
  const html = evaluationHtml(evaluation)

  it('needs no other file and runs nothing', () => {
    expect(html).not.toMatch(/<script|<link|<img|@import|url\(|https?:/)
    expect(html).toContain('&lt;script&gt;w4&lt;/script&gt;')
    expect(html).toContain('prefers-color-scheme: dark')
  })

  it('has a plot of sizes, speeds, divergences and layers, each with a name', () => {
    expect(html.match(/<svg /g)).toHaveLength(4)
    expect(html.match(/role="img" aria-label="[^"]+"/g)).toHaveLength(4)
    expect(html).not.toContain('NaN')
  })

  it('of one model alone has no plots', () => {
    expect(evaluationHtml(alone)).not.toContain('<svg')
  })
})

describe('plotSvg', () => {
  const axis = { label: 'axis' }
  const circles = (svg: string): number[][] =>
    [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])

  it('places points within its frame, in order, larger ones further up', () => {
    const points = [[1, 5] as const, [2, 50] as const, [3, 5000] as const]
    const svg = plotSvg({
      title: 't',
      x: axis,
      y: { ...axis, isLog: true },
      kind: 'lines',
      series: [{ name: 's', points }],
    })
    const [a, b, c] = circles(svg)
    expect(a![0]).toBeLessThan(b![0]!)
    expect(b![0]! - a![0]!).toBeCloseTo(c![0]! - b![0]!, 0)
    expect(a![1]! - b![1]!).toBeCloseTo((b![1]! - c![1]!) / 2, 0)
    for (const [x, y] of [a!, b!, c!]) {
      expect(x).toBeGreaterThan(76)
      expect(x).toBeLessThan(720)
      expect(y).toBeGreaterThan(0)
      expect(y).toBeLessThan(300)
    }
  })

  it('bears one point, equal ones, zeros on a logarithm, and none', () => {
    for (const points of [
      [[1, 1]],
      [
        [0, 0],
        [0, 0],
      ],
      [],
    ] as (readonly [number, number])[][])
      for (const isLog of [false, true]) {
        const svg = plotSvg({
          title: 't',
          x: { ...axis, isLog },
          y: { ...axis, isLog },
          kind: 'points',
          series: [{ name: 's', points }],
        })
        expect(svg).not.toMatch(/NaN|Infinity/)
      }
  })
})

it.each([
  [0, '0'],
  [12345, '12345'],
  [1.23456, '1.23'],
  [0.0123456, '0.0123'],
  [0.000123, '1.23e-4'],
  [1e6, '1.00e+6'],
])('number %d is %s', (value, text) => {
  expect(number(value)).toBe(text)
})

it('markdownTable keeps its cells apart', () => {
  expect(markdownTable({ head: ['a', 'b'], rows: [['x|y', 'z']] })).toBe(
    '| a    | b   |\n| ---- | --- |\n| x\\|y | z   |',
  )
})
