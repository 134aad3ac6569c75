import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { RankFailedError } from '@octavo/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findMpiLibraries } from './mpi/find-mpi-libraries.ts'
import { FaultyRanks } from './parallel-faults.case.ts'

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

function rankProcess(): number {
  const isRank = (pid: string): boolean =>
    /^[^\0]*node\0[^\0]*rank-process[.]ts\0$/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
  return Number(descendants().find(isRank))
}

beforeAll(() => {
  process.env[variable] = value
})
afterAll(() => {
  delete process.env[variable]
})

describe.skipIf(libraries.length === 0 || process.platform !== 'linux').each(libraries)(
  'ranks as processes of $name',
  ({ kind: mpi }) => {
    it('one throws between two collectives, is killed, idle too, is stopped; nothing of them is left', async () => {
      const heartbeatTimeoutMs = 2000
      const parallel = { tp: 2, executor: 'mpi', mpi, heartbeatTimeoutMs } as const
      const name = String.raw`^rank 1 \(process \d+ on .*\) failed: `
      {
        await using ranks = await FaultyRanks.start({ parallel })
        const thrown = await ranks.cause('throws', 0)
        expect(thrown).toBeInstanceOf(RankFailedError)
        expect(thrown).toMatchObject({ rank: 1, message: matching(`${name}the cable was pulled$`) })
        const killed = await ranks.cause('dies', 0)
        expect(killed).toBeInstanceOf(RankFailedError)
        // MPICH's launcher ends the other one so soon that either may be the first that is missed.
        expect(killed).toMatchObject({ message: matching('its control connection (was closed|broke)|ended with') })
        process.kill(rankProcess(), 'SIGKILL')
        expect(await ranks.causeBetweenRequests()).toBeInstanceOf(RankFailedError)
        const stopped = await ranks.cause('stops', heartbeatTimeoutMs)
        expect(stopped).toMatchObject({ rank: 1, message: matching(`${name}it gave no sign of life for 2000 ms`) })
        expect(descendants().length).toBeGreaterThanOrEqual(3)
      }
      await expect.poll(descendants, { timeout: 5000 }).toEqual([])
    })
  },
)

function matching(pattern: string): unknown {
  return expect.stringMatching(new RegExp(pattern))
}
