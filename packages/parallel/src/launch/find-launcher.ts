import { InvalidConfigError } from '@octavo/core'
import { findMpiLauncher, findMpiLibraries, type MpiLauncher } from '../mpi/find-mpi-libraries.ts'
import type { MpiKind } from '../mpi/mpi-kind.ts'
import type { ParallelConfig } from '../parallel-options.ts'

export interface LauncherOfKind extends MpiLauncher {
  readonly kind: MpiKind
}

/**
 * Whose launcher it is decides which library ranks open.
 * @throws InvalidConfigError where there is none, or not the one that is asked for
 */
export async function findLauncher(wanted: ParallelConfig['mpi']): Promise<LauncherOfKind> {
  for (const kind of ['openmpi', 'mpich'] as const) {
    const launcher = wanted === 'auto' || wanted === kind ? await findMpiLauncher(kind) : null
    if (launcher !== null) return { ...launcher, kind }
  }
  const libraries = await findMpiLibraries()
  const found = libraries.map(
    ({ name, version, launcher }) => `${name} ${version}${launcher === null ? ' without its launcher' : ''}`,
  )
  throw new InvalidConfigError(
    'executor',
    `mpi needs ${wanted === 'auto' ? 'Open MPI or MPICH' : wanted}, and mpirun or mpiexec of it on the PATH; this machine has ${found.length === 0 ? 'no MPI library' : found.join(', ')}. Install it, such as by "apt install openmpi-bin" or "apt install mpich", or pass threads`,
  )
}
