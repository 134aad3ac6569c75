import { beforeAll, describe, expect, it } from 'vitest'
import { groupPrograms } from './process-group-programs.case.ts'

export interface DescribeProcessGroupOptions {
  readonly backend: string
  readonly sizes: readonly number[]
  /** Runs programs one after the other in one world of so many ranks: their results, by rank. */
  run(programs: readonly string[], size: number): Promise<readonly (readonly unknown[])[]>
  /** Whether a rank whose deadline passed can tell who is missing. */
  readonly knowsMissingRanks: boolean
}

/** A rank that is late on a busy machine is no failure. */
const slowMs = 120_000

/** What every backend's groups must do. */
export function describeProcessGroup({ backend, sizes, run, knowsMissingRanks }: DescribeProcessGroupOptions): void {
  describe.each(sizes)(`${backend}, %i ranks`, (size) => {
    let results: readonly (readonly unknown[])[] = []
    const names = Object.keys(groupPrograms)
    beforeAll(async () => {
      results = await run(names, size)
    }, slowMs)
    it.each(names)('%s', (name) => {
      const { expected } = groupPrograms[name]!
      const byRank = results.map((ofRank) => ofRank[names.indexOf(name)])
      expect(byRank).toEqual(Array.from({ length: size }, (_, rank) => expected(rank, size)))
    })
  })

  describe(`${backend}, how a group ends`, () => {
    const end = async (program: string, size = 3) =>
      (await run([program], size)).map(([failures]) => failures as readonly Record<string, unknown>[])

    it('a deadline that passes ends the group for all', { timeout: slowMs }, async () => {
      const [first, ...others] = await end('timeout')
      const timedOut = others.filter(([failure]) => failure!['name'] === 'CollectiveTimeoutError')
      expect(timedOut.length).toBeGreaterThan(0)
      for (const [failure] of timedOut)
        expect(failure).toMatchObject({
          code: 'communication_error',
          operation: 'allReduce',
          timeoutMs: 1000,
          ...(knowsMissingRanks && { missingRanks: expect.arrayContaining([0]) as number[] }),
        })
      for (const failure of [first![0], ...[first, ...others].map((failures) => failures![1])])
        expect(failure).toMatchObject({
          name: 'ProcessGroupAbortedError',
          reason: expect.stringContaining('waited 1000 ms') as string,
        })
      expect(first![0]).toMatchObject({ rank: 0, operation: 'recv' })
    })

    it('every rank learns who ended it, and why', { timeout: slowMs }, async () => {
      const failures = await end('abort')
      for (const [rank, [failure]] of failures.entries())
        expect(failure).toMatchObject({
          name: 'ProcessGroupAbortedError',
          rank,
          operation: rank === 1 ? 'barrier' : 'allReduce',
          reason: 'the test says so',
          abortedBy: 1,
          message: expect.stringContaining('rank 1: the test says so') as string,
        })
    })

    it('who looks whether something has come learns it, too', { timeout: slowMs }, async () => {
      for (const [failure] of await end('abort while others look'))
        expect(failure).toMatchObject({ name: 'ProcessGroupAbortedError', operation: 'irecv', abortedBy: 1 })
    })

    it('who ends a group ends the world', { timeout: slowMs }, async () => {
      for (const [failure] of await end('abort in a group'))
        expect(failure).toMatchObject({ name: 'ProcessGroupAbortedError', reason: 'a part says so', abortedBy: 1 })
    })

    it(
      'wrong sizes are refused with the right ones, and nobody waits for the refused call',
      { timeout: slowMs },
      async () => {
        const [first, ...others] = await end('wrong sizes')
        expect(first![0]).toMatchObject({
          name: 'CollectiveMismatchError',
          message: expect.stringContaining('6 and 2') as string,
        })
        for (const [failure] of others)
          expect(failure).toMatchObject({ name: 'ProcessGroupAbortedError', abortedBy: 0 })
      },
    )

    it('a destroyed group refuses calls', { timeout: slowMs }, async () => {
      for (const [failure] of await end('destroyed before', 2))
        expect(failure).toMatchObject({
          name: 'CommunicationError',
          message: expect.stringContaining('destroyed') as string,
        })
    })
  })
}
