import os from 'node:os'
import { wholeMachine } from '@octavo/core/backend'
import { describe, expect, it } from 'vitest'
import { availableThreads, resolveThreadCount } from './thread-count.ts'

const cpus = os.availableParallelism()

/** A system that has these files and no others. */
function system(files: Readonly<Record<string, string>>): (file: string) => string | null {
  return (file) => files[file] ?? null
}

describe('availableThreads', () => {
  it('is the number of CPUs without a quota', () => {
    expect(availableThreads(wholeMachine, system({}))).toBe(cpus)
    expect(availableThreads(wholeMachine, system({ '/sys/fs/cgroup/cpu.max': 'max 100000\n' }))).toBe(cpus)
  })

  it.each([
    ['100000 100000\n', 1],
    ['150000 100000\n', 1],
    ['25000 100000\n', 1],
    ['100000000 100000\n', cpus],
  ])('keeps within the control group: cpu.max %j', (text, expected) => {
    expect(availableThreads(wholeMachine, system({ '/sys/fs/cgroup/cpu.max': text }))).toBe(expected)
  })

  it('is divided: CPUs among the ranks on them, the quota among all of the machine', () => {
    const quotaOf = (numCpus: number) => system({ '/sys/fs/cgroup/cpu.max': `${numCpus * 100_000} 100000\n` })
    expect(availableThreads({ numLocalWorkers: 4, numCpuWorkers: 1 }, system({}))).toBe(cpus)
    expect(availableThreads({ numLocalWorkers: 4, numCpuWorkers: 1 }, quotaOf(4 * cpus))).toBe(cpus)
    expect(availableThreads({ numLocalWorkers: 4, numCpuWorkers: 1 }, quotaOf(4))).toBe(1)
    expect(availableThreads({ numLocalWorkers: 4, numCpuWorkers: 4 }, quotaOf(4 * cpus))).toBe(
      Math.max(1, Math.floor(cpus / 4)),
    )
  })

  it('knows version 1 of control groups', () => {
    const folder = '/sys/fs/cgroup/cpu'
    const files = (quota: string) => ({
      [`${folder}/cpu.cfs_quota_us`]: quota,
      [`${folder}/cpu.cfs_period_us`]: '50000\n',
    })
    expect(availableThreads(wholeMachine, system(files('50000\n')))).toBe(1)
    expect(availableThreads(wholeMachine, system(files('-1\n')))).toBe(cpus)
  })
})

describe('resolveThreadCount', () => {
  it('takes the option before the environment', () => {
    expect(resolveThreadCount(3, '5')).toBe(3)
    expect(resolveThreadCount(undefined, '5')).toBe(5)
    expect(resolveThreadCount(undefined, null)).toBe(availableThreads())
    expect(resolveThreadCount(undefined, null, { numLocalWorkers: 2, numCpuWorkers: 2 })).toBe(
      Math.max(1, Math.floor(cpus / 2)),
    )
    expect(resolveThreadCount(undefined, null, { numLocalWorkers: 1000, numCpuWorkers: 1000 })).toBe(1)
    expect(resolveThreadCount(3, '5', { numLocalWorkers: 2, numCpuWorkers: 2 })).toBe(3)
  })

  it.each(['0', '-1', '1.5', 'many', '5000'])('refuses OCTAVO_THREADS=%s', (text) => {
    expect(() => resolveThreadCount(undefined, text)).toThrow(/OCTAVO_THREADS.*integer from 1 to 1024/)
  })
})
