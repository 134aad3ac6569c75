import { InvalidConfigError } from '@octavo/core'
import { findMpiLibraries, type MpiLauncher, type MpiLibrary } from '../mpi/find-mpi-libraries.ts'
import type { ParallelConfig } from '../parallel-options.ts'

export interface LaunchedLibrary extends MpiLibrary {
  readonly launcher: MpiLauncher
}

/** @throws InvalidConfigError where no library and its launcher are here, or not those that are asked for */
export async function findLauncher(wanted: ParallelConfig['mpi']): Promise<LaunchedLibrary> {
  const libraries = await findMpiLibraries()
  for (const { launcher, ...library } of libraries)
    if (launcher !== null && (wanted === 'auto' || wanted === library.kind)) return { ...library, launcher }
  const found = libraries.map(({ name, version, launcher }) => `${name} ${version} ${launcher ? 'with' : 'without'} a launcher`)
  throw new InvalidConfigError(
    'executor',
    `mpi needs ${wanted === 'auto' ? 'Open MPI or MPICH' : wanted}: a library, and mpirun or mpiexec on the PATH; here is ${found.length === 0 ? 'neither' : found.join(', ')}. Install it, such as by "apt install openmpi-bin" or "apt install mpich", or pass threads`,
  )
}
