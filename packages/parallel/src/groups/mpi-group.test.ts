import { expect, it } from 'vitest'
import { findMpiLibraries } from '../mpi/find-mpi-libraries.ts'
import { loadMpi } from '../mpi/mpi-binding.ts'
import { launchMpi } from '../mpi/launch-mpi.case.ts'
import { describeProcessGroup } from '../process-group.case.ts'

const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)

if (libraries.length === 0)
  it.skip('mpi: no library with its launcher was found (Debian: apt-get install openmpi-bin libopenmpi3 mpich)')

for (const library of libraries)
  describeProcessGroup({
    backend: `${library.name} ${library.version}`,
    sizes: [2, 3, 4],
    knowsMissingRanks: false,
    run: (programs, size) => launchMpi(library, programs, size),
  })

it.each(libraries)(
  '$name: a thread that is no rank can end the group, for all ranks',
  { timeout: 120_000 },
  async (library) => {
    for (const [[failure]] of (await launchMpi(library, ['watchdog'], 3)) as [[unknown]][])
      expect(failure).toMatchObject({
        name: 'ProcessGroupAbortedError',
        reason: 'the watchdog barked',
        abortedBy: null,
      })
  },
)

it('no library: what was tried, and what to install', () => {
  expect(() => loadMpi(['libnothing.so.1'])).toThrow(
    'no MPI library could be opened (tried libnothing.so.1). Install one (Debian: apt-get install openmpi-bin',
  )
})

it.skipIf(libraries.length < 2)('ranks of one library under the launcher of another see what is wrong', async () => {
  const [first, second] = libraries
  const mixed = launchMpi({ ...second!, library: first!.library }, [], 2)
  await expect(mixed).rejects.toMatchObject({
    cause: {
      stderr: expect.stringContaining(
        `2 ranks, but ${first!.name} ${first!.version} (${first!.library}) sees one`,
      ) as string,
    },
  })
})
