import { expect, test } from 'vitest'
import { type BenchRun, createReport } from './bench-report.ts'
import { numLayerWeights, smokeShape } from './bench-shape.ts'
import { knownEngines } from './engine-list.ts'
import type { EngineSpeed, SpeedRound } from './run-speed.ts'

const speed = (prefill: number, decode: number): EngineSpeed => ({
  description: 'an engine',
  loadMs: 1000,
  loadAndFirstTokenMs: 1500,
  peakRssBytes: 2e9,
  prefill: { 128: prefill },
  decode: { 4: decode },
})

const limits = { readBytesPerSecond: 2e10, multiplyPerSecond: 2 * numLayerWeights(smokeShape) * 1000 }

function createRun(rounds: SpeedRound[]): BenchRun {
  return {
    model: { shape: smokeShape, format: 'q8_0' },
    fileBytes: 1e9,
    threads: 2,
    engines: knownEngines,
    speed: { plan: { prefill: [128], decode: [4], promptLength: 32, numTokens: 32 }, rounds, failures: [] },
    serving: null,
  }
}

test('values are medians of the rounds, shares are of the limit', () => {
  const { markdown } = createReport(
    createRun([
      { limits, engines: { octavo: speed(100, 40), 'llama-cpp': speed(50, 10) } },
      { limits, engines: { octavo: speed(500, 41), 'llama-cpp': speed(50, 10) } },
      { limits, engines: { octavo: speed(400, 90), 'llama-cpp': speed(50, 10) } },
    ]),
  )
  expect(markdown).toContain('Limits: 20.0 GB/s read')
  expect(markdown).toContain('| prefill 128, tok/s | 400.0 (40 %) | 50.0 (5 %) | 8.00 |')
  expect(markdown).toMatch(/\| decode 4, tok\/s \| 41\.0 \(\d+ %\) \| 10\.0 \(\d+ %\) \| 4\.10 \|/)
  expect(markdown).toContain('| load, ms | 1000 (5 %) | 1000 (5 %) | 1.00 |')
  expect(markdown).toContain('| load and first token, ms | 1500 | 1500 | 1.00 |')
})

test('an engine that failed in a round counts where it did not, one that never ran has no column', () => {
  const { markdown } = createReport(
    createRun([
      { limits, engines: { octavo: speed(100, 40), 'llama-cpp': speed(50, 10) } },
      { limits, engines: { octavo: speed(100, 40) } },
    ]),
  )
  expect(markdown).toContain('| Octavo | node-llama-cpp | × node-llama-cpp |')
  expect(markdown).toContain('| prefill 128, tok/s | 100.0 (10 %) | 50.0 (5 %) | 2.00 |')
})

test('without a limit there are no shares of it', () => {
  const unknown = { readBytesPerSecond: null, multiplyPerSecond: null }
  const { markdown, json } = createReport(createRun([{ limits: unknown, engines: { octavo: speed(100, 40) } }]))
  expect(markdown).toContain('Limits: — GB/s read, — TOPS')
  expect(markdown).toContain('| prefill 128, tok/s | 100.0 |')
  expect(JSON.parse(json)).toMatchObject({ threads: 2, rows: { length: 5 }, speed: { rounds: [{ limits: unknown }] } })
})
