import { expect, test } from 'vitest'
import { ratioOf } from './bench-row.ts'
import { formatNumber, markdownTable, sweepTable } from './markdown.ts'

const speed = {
  name: 'decode 1',
  unit: 'tok/s',
  isHigherBetter: true,
  values: { ours: 30, theirs: 20 },
  shares: { ours: 0.75, theirs: 0.5 },
}
const load = { name: 'load', unit: 'ms', isHigherBetter: false, values: { ours: 500, theirs: 1500 }, shares: {} }

test('a ratio above 1 is better, whichever way the figure goes', () => {
  expect(ratioOf(speed, 'ours', 'theirs')).toBe(1.5)
  expect(ratioOf(load, 'ours', 'theirs')).toBe(3)
  expect(ratioOf({ ...load, values: { ours: 500, theirs: null } }, 'ours', 'theirs')).toBeNull()
})

test('a table has a column per engine and a ratio per other engine', () => {
  const columns = [
    { name: 'ours', label: 'Octavo' },
    { name: 'theirs', label: 'Peer' },
    { name: 'absent', label: 'None' },
  ]
  expect(markdownTable([speed, load], columns).split('\n')).toEqual([
    '|  | Octavo | Peer | None | × Peer | × None |',
    '| --- | --- | --- | --- | --- | --- |',
    '| decode 1, tok/s | 30.0 (75 %) | 20.0 (50 %) | — | 1.50 | — |',
    '| load, ms | 500.0 | 1500 | — | 3.00 | — |',
  ])
})

test('numbers have three or four digits', () => {
  expect([12_345.6, 999.94, 12.34, 1.234, 0, null].map(formatNumber)).toEqual([
    '12346',
    '999.9',
    '12.3',
    '1.23',
    '0.00',
    '—',
  ])
})

test('a sweep is sorted by its rates, and a load that was ended early has no figures', () => {
  const summary = {
    numRequests: 24,
    isComplete: true,
    durationMs: 1000,
    totalTokensPerSecond: 300,
    outputTokensPerSecond: 100,
    ttftMs: { p50: 100, p99: 1000 },
    itlMs: { p50: 50, p99: null },
  }
  const points = [
    { rate: 2, load: { ...summary, isComplete: false }, isWithin: false },
    { rate: 1, load: summary, isWithin: true },
  ]
  expect(sweepTable(points, summary).split('\n').slice(2)).toEqual([
    '| 1.00 | 300.0 | 100.0 | 100.0 | 1000 | 50.0 | — | yes |',
    '| 2.00 | — | — | — | — | — | — | no |',
    '| all at once | 300.0 | 100.0 | 100.0 | 1000 | 50.0 | — |  |',
  ])
})
