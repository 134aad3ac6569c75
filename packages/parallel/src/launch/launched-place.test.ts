import { afterEach, describe, expect, it, vi } from 'vitest'
import { resolveParallelOptions } from '../parallel-options.ts'
import { launchedPlace } from './launched-place.ts'

afterEach(() => void vi.unstubAllEnvs())

function stubLauncher(rank: number, size: number): void {
  vi.stubEnv('PMI_RANK', String(rank))
  vi.stubEnv('PMI_SIZE', String(size))
}

describe('a process of several that a launcher started', () => {
  it('knows its place', () => {
    stubLauncher(1, 2)
    expect(launchedPlace(resolveParallelOptions({ tp: 2 }))).toMatchObject({ rank: 1, worldSize: 2, source: 'pmi' })
  })

  it('is none where ranks are threads, or nobody started it', () => {
    expect(launchedPlace(resolveParallelOptions({ tp: 2, executor: 'mpi' }))).toBeNull()
    stubLauncher(1, 2)
    expect(launchedPlace(resolveParallelOptions({ tp: 2, executor: 'threads' }))).toBeNull()
    expect(launchedPlace(resolveParallelOptions({}))).toBeNull()
  })

  it('refuses other sizes than the options name, and hosts', () => {
    stubLauncher(0, 2)
    expect(() => launchedPlace(resolveParallelOptions({ tp: 2, pp: 2 }))).toThrow(
      'tp: 2 with pp 2 and ep 1 takes 4 ranks, but pmi has started 2; start 4',
    )
    expect(() => launchedPlace(resolveParallelOptions({ tp: 2, hosts: 'a,b' }))).toThrow(/^hosts: is for ranks that/)
  })
})
