import { it } from 'vitest'
import { findMpiLibraries } from '../mpi/find-mpi-libraries.ts'
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
