import { describe, expect, it } from 'vitest'
import { parallelExecutor, parallelModules } from './executor-module.ts'
import type { ParallelOptions } from './parallel-option-table.ts'
import { resolveParallelOptions } from './parallel-options.ts'

const resolve = (options: ParallelOptions, isLaunchedByMpi = false) => resolveParallelOptions(options, isLaunchedByMpi)

describe('parallel options', () => {
  it.each([
    [{}, { width: 1, worldSize: 1, executor: 'threads' }],
    [{ tp: 2 }, { width: 2, worldSize: 2, executor: 'threads' }],
    [
      { tp: 2, pp: 3 },
      { width: 2, worldSize: 6 },
    ],
    [
      { ep: 4, pp: 2 },
      { width: 4, worldSize: 8 },
    ],
    [
      { tp: 2, ep: 2 },
      { width: 2, worldSize: 2 },
    ],
    [
      { tp: 2, hosts: 'h0,h1' },
      { executor: 'mpi', hosts: ['h0', 'h1'] },
    ],
    [{ pp: 2, layerSplit: '10, 12' }, { layerSplit: [10, 12] }],
    [{ pp: 2, layerSplit: [10, 12] }, { layerSplit: [10, 12] }],
  ] satisfies [ParallelOptions, object][])('%j', (options, expected) => {
    expect(resolve(options)).toMatchObject(expected)
  })

  it('take MPI where its launcher started several', () => {
    expect(resolve({ tp: 2 }, true).executor).toBe('mpi')
    expect(resolve({ tp: 2, executor: 'threads' }, true).executor).toBe('threads')
    expect(resolve({}, true).executor).toBe('threads')
  })

  it.each([
    [{ tp: 0 }, 'tp: must be an integer from 1 to 1024, got 0'],
    [{ tp: 2, ep: 4 }, 'ep: is 4, but tp is 2'],
    [{ pp: 2, layerSplit: [4] }, 'layerSplit: has 1 parts (4) for 2 stages (pp)'],
    [{ pp: 2, layerSplit: '4,' }, 'layerSplit: must be integers from 1 to 1024, such as 10,12, got "4,"'],
    [{ tp: 2, hosts: ['a', 'b'], executor: 'threads' }, 'hosts: needs processes of their own there'],
    [{ tp: 3, hosts: ['a', 'b'] }, 'hosts: has 2 machines for 3 ranks'],
    [{ executor: 'ray' as 'mpi' }, 'executor: must be one of auto, threads, mpi, got "ray"'],
    [{ tensorParallel: 2 } as ParallelOptions, 'parallel.tensorParallel: is not an option; those are tp, pp, ep'],
    [2 as unknown as ParallelOptions, 'parallel: must be an object of options, such as { tp: 2 }, got 2'],
    [null as unknown as ParallelOptions, 'parallel: must be an object of options, such as { tp: 2 }, got null'],
  ] satisfies [ParallelOptions, string][])('%j is refused', (options, message) => {
    expect(() => parallelExecutor(options)).toThrow(message)
  })

  it('make a module only where there is something to share', () => {
    expect(parallelModules({ tp: 1 })).toEqual([])
    expect(parallelModules({ tp: 2, pp: undefined } as ParallelOptions)).toMatchObject([
      { kind: 'executor', options: { tp: 2 } },
    ])
    expect(parallelModules({ executor: 'mpi' })).toHaveLength(1)
  })
})
