import { expect, test } from 'vitest'
import { chartSvg } from './chart.ts'

const columns = [
  { name: 'a', label: 'A & B' },
  { name: 'b', label: 'B' },
]
const row = {
  name: 'decode <1>',
  unit: 'tok/s',
  isHigherBetter: true,
  values: { a: 20, b: 10 },
  shares: { a: 0.8, b: null },
}

function barWidths(svg: string): number[] {
  return [...svg.matchAll(/<rect x="270"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width))
}

test('bars are as long as their values, on the scale of their row', () => {
  const small = { ...row, values: { a: 1, b: 4 } }
  const [first = 0, second = 0, third = 0, fourth = 0] = barWidths(
    chartSvg({ title: 't', subtitle: 's', rows: [row, small], columns }),
  )
  expect(first).toBeGreaterThan(100)
  expect(second).toBe(first / 2)
  expect(fourth).toBe(first)
  expect(third).toBe(first / 4)
})

test('a missing value has no bar and says so', () => {
  const svg = chartSvg({ title: 't', subtitle: 's', rows: [{ ...row, values: { a: 20, b: null } }], columns })
  expect(barWidths(svg)[1]).toBe(0)
  expect(svg).toContain('>—</text>')
  expect(svg).toContain('20.0 · 80 % of limit')
})

test('texts are escaped', () => {
  const svg = chartSvg({ title: '"t"', subtitle: 's', rows: [row], columns })
  expect(svg).toContain('A &amp; B')
  expect(svg).toContain('decode &lt;1&gt;')
  expect(svg).toContain('&quot;t&quot;')
})
