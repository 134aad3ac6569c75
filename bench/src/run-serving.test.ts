import path from 'node:path'
import { expect, test, vi } from 'vitest'
import { smokeShape } from './bench-shape.ts'
import { type KnownEngine, knownEngines } from './engine-list.ts'
import { ModelFiles } from './model-files.ts'
import { runServing, type ServingPlan } from './run-serving.ts'
import { servingRows } from './serving-rows.ts'

const module = path.join(import.meta.dirname, 'fake-engine.case.ts')
const plan: ServingPlan = {
  seed: 1,
  numRequests: 4,
  promptLengths: { min: 4, max: 8 },
  outputLengths: { min: 2, max: 4 },
  numSeqs: 2,
  maxTtftMs: 60_000,
  maxPoints: 2,
}

test('engines take turns until their sweeps end; one that fails is left out and named', async () => {
  const progress = vi.spyOn(console, 'error').mockImplementation(() => {})
  using files = new ModelFiles({ shape: { ...smokeShape, numLayers: 1 }, format: 'q8_0' })
  const [ours, other] = knownEngines
  if (ours === undefined || other === undefined) throw new Error('no engines')
  const engines: KnownEngine[] = [
    { ...ours, module },
    { ...other, module: path.join(import.meta.dirname, 'no-such-engine.ts') },
  ]
  const result = await runServing({ engines, files, threads: 1, plan })
  expect(Object.keys(result.engines)).toEqual(['octavo'])
  expect(result.failures).toHaveLength(1)
  expect(result.failures[0]).toContain('no-such-engine')
  const { burst, points, best } = result.engines['octavo'] ?? {}
  expect(burst?.isComplete).toBe(true)
  expect(points).toHaveLength(2)
  expect(points?.[1]?.rate).toBeGreaterThan(points?.[0]?.rate ?? Infinity)
  expect(points).toContain(best)
  const [total] = servingRows(result)
  expect(total?.name).toBe('serving, TTFT p99 ≤ 60 s: total')
  expect(total?.values).toEqual({ octavo: best?.load.totalTokensPerSecond })
  progress.mockRestore()
})
