import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { RankFailedError } from '@octavo/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findMpiLibraries } from './mpi/find-mpi-libraries.ts'
import { runWithFault } from './parallel-faults.case.ts'

const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)
if (libraries.length === 0)
  it.skip('mpi: no library with its launcher was found (Debian: apt-get install openmpi-bin libopenmpi3 mpich)')

const mark = `OCTAVO_FAULT_TEST=${randomUUID()}`
const [variable = '', value] = mark.split('=')

/** Processes that were started from here, but for this one. */
function descendants(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && pid !== String(process.pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)
      )
    } catch {
      return false
    }
  })
}

beforeAll(() => {
  process.env[variable] = value
})
afterAll(() => {
  delete process.env[variable]
})

describe.skipIf(libraries.length === 0).each(libraries)(
  'a rank that goes wrong as a process of $name',
  ({ kind: mpi }) => {
    const parallel = { tp: 2, executor: 'mpi', mpi, heartbeatTimeoutMs: 2000 } as const

    it('throws between two collectives', async () => {
      const { cause } = await runWithFault({ parallel, fault: 'throws', deadlineMs: 0 })
      expect(cause).toMatchObject({
        rank: 1,
        message: expect.stringMatching(/^rank 1 \(process \d+ on .*\) failed: the cable was pulled$/),
      })
      expect(descendants()).toEqual([])
    })

    it('is killed', async () => {
      const { cause } = await runWithFault({ parallel, fault: 'dies', deadlineMs: 0 })
      expect(cause).toBeInstanceOf(RankFailedError)
      expect(cause).toMatchObject({
        rank: 1,
        message: expect.stringMatching(/its control connection (was closed|broke)$/),
      })
      expect(descendants()).toEqual([])
    })

    it('is stopped', async () => {
      const { cause } = await runWithFault({ parallel, fault: 'stops', deadlineMs: 2000 })
      expect(cause).toMatchObject({ rank: 1, message: expect.stringMatching(/it gave no sign of life for 2000 ms/) })
      expect(descendants()).toEqual([])
    })
  },
)
