import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { InvalidConfigError } from '@octavo/core'
import type { ParallelConfig } from '../parallel-options.ts'

export interface MpiLauncher {
  readonly library: 'openmpi' | 'mpich'
  /** As it is found on the PATH. */
  readonly program: string
}

/** What the user or the distribution chose goes first. */
const programs = ['mpirun', 'mpiexec', 'mpirun.openmpi', 'mpiexec.mpich', 'mpiexec.hydra']

const words = { openmpi: /Open ?MPI|OpenRTE|PRRTE/i, mpich: /HYDRA|MPICH/i } as const

/** @throws InvalidConfigError where there is none, or not of the library that is asked for */
export async function findLauncher(wanted: ParallelConfig['mpi']): Promise<MpiLauncher> {
  const found: string[] = []
  for (const program of programs) {
    const library = libraryOf(await versionOf(program))
    if (library === null) continue
    if (wanted === 'auto' || wanted === library) return { library, program }
    found.push(`${program} of ${library}`)
  }
  const what = wanted === 'auto' ? 'MPI launcher' : `launcher of ${wanted}`
  const instead = found.length === 0 ? '' : ` (there is ${found.join(', ')})`
  throw new InvalidConfigError(
    'executor',
    `mpi needs mpirun or mpiexec, but no ${what} is on the PATH${instead}; install Open MPI or MPICH, such as by "apt install openmpi-bin", or pass threads`,
  )
}

async function versionOf(program: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, ['--version'], { timeout: 10_000 })
    return stdout
  } catch {
    return ''
  }
}

function libraryOf(version: string): MpiLauncher['library'] | null {
  if (words.openmpi.test(version)) return 'openmpi'
  return words.mpich.test(version) ? 'mpich' : null
}
