import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { availableMemory } from './available-memory.ts'

const GiB = 1024 ** 3

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'octavo-cgroup-'))
})
afterEach(() => rmSync(root, { recursive: true }))

function write(files: Readonly<Record<string, string | number>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), `${text}\n`)
  }
}

const available = () => availableMemory({ root, machineBytes: 64 * GiB, otherwise: () => -1 })

/** One control group of version 2. */
const group = (folder: string, limit: string | number, usage: number, inactiveFile: number) => ({
  [`${folder}/memory.max`]: limit,
  [`${folder}/memory.current`]: usage,
  [`${folder}/memory.stat`]: `anon 1\ninactive_anon 7\ninactive_file ${inactiveFile}\nactive_file 9`,
})

describe.skipIf(process.platform !== 'linux')('availableMemory', () => {
  it('counts files that nobody uses any more as free', () => {
    write({ 'proc/self/cgroup': '0::/', ...group('sys/fs/cgroup', 8 * GiB, 7 * GiB, 5 * GiB) })
    expect(available()).toBe(6 * GiB)
  })

  it('heeds the limits of all groups above', () => {
    write({
      'proc/self/cgroup': '0::/user.slice/app.scope',
      ...group('sys/fs/cgroup/user.slice', 4 * GiB, 3 * GiB, GiB),
      ...group('sys/fs/cgroup/user.slice/app.scope', 'max', 2 * GiB, 0),
    })
    expect(available()).toBe(2 * GiB)
  })

  it('reads version 1, also where only the mount of the own group is there', () => {
    write({
      'proc/self/cgroup': '5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/docker/x',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': 4 * GiB,
      'sys/fs/cgroup/memory/memory.usage_in_bytes': 3 * GiB,
      'sys/fs/cgroup/memory/memory.stat': `inactive_file 5\ntotal_inactive_file ${2 * GiB}`,
    })
    expect(available()).toBe(3 * GiB)
  })

  it('is never more than the machine has, nor less than nothing', () => {
    write({ 'proc/self/cgroup': '0::/', ...group('sys/fs/cgroup', 900 * GiB, GiB, 0) })
    expect(available()).toBe(64 * GiB)
    write(group('sys/fs/cgroup', 2 * GiB, 3 * GiB, 0))
    expect(available()).toBe(0)
  })

  it('asks Node where no group has a limit', () => {
    expect(available()).toBe(-1)
    write({ 'proc/self/cgroup': '0::/', ...group('sys/fs/cgroup', 'max', GiB, 0) })
    expect(available()).toBe(-1)
  })
})

it('is a number of this machine', () => {
  expect(availableMemory()).toBeGreaterThan(0)
})
