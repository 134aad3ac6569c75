import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { currentEnvironment, type ParallelEnvironment } from '../parallel-env.ts'
import { candidateLibraries } from './mpi-kind.ts'
import type { MpiKind, MpiVersion } from './mpi-kind.ts'

const run = promisify(execFile)

export interface MpiLauncher {
  readonly path: string
  readonly version: string
}

export interface MpiLibrary extends MpiVersion {
  /** What `MPI_LIBRARY` must be for a rank to open this one. */
  readonly library: string
  /** Where the dynamic linker found it; `null` where it does not say. */
  readonly path: string | null
  /** The program that starts this library's ranks; `null` where none is on PATH. */
  readonly launcher: MpiLauncher | null
}

/** The name that only one library's launcher has comes first. */
const launcherNames: Readonly<Record<MpiKind, readonly string[]>> = {
  openmpi: ['mpirun.openmpi', 'mpirun', 'mpiexec'],
  mpich: ['mpiexec.mpich', 'mpiexec.hydra', 'mpiexec', 'mpirun'],
}

const launcherVersions: Readonly<Record<MpiKind, RegExp>> = {
  openmpi: /(?:Open MPI|OpenRTE|PRRTE)\)? ?v?([\d.]+\w*)/,
  mpich: /(?:HYDRA|Intel)[^]*?Version:?\s+([\d.]+\w*)/i,
}

const probeTimeoutMs = 30_000

/** The MPI libraries of this machine that Octavo can call, and their launchers: what `octavo env` prints. */
export async function findMpiLibraries(
  env: ParallelEnvironment = currentEnvironment(),
): Promise<readonly MpiLibrary[]> {
  const found = await Promise.all(
    candidateLibraries({ MPI_LIBRARY: env['MPI_LIBRARY'] }).map((library) => probe(library, env)),
  )
  const known = found.filter((library) => library !== null)
  // Two names may lead to one file.
  const distinct = known.filter(({ path }, i) => path === null || known.findIndex((other) => other.path === path) === i)
  return Promise.all(
    distinct.map(async (library) => ({ ...library, launcher: await findMpiLauncher(library.kind, env) })),
  )
}

/** In a process of its own: two MPI libraries in one get into each other's way, and one may end it. */
async function probe(library: string, env: ParallelEnvironment): Promise<Omit<MpiLibrary, 'launcher'> | null> {
  const program = new URL(import.meta.url.endsWith('.ts') ? './mpi-probe.ts' : './mpi-probe.js', import.meta.url)
  try {
    const { stdout } = await run(process.execPath, [fileURLToPath(program), library], { env, timeout: probeTimeoutMs })
    return JSON.parse(stdout) as Omit<MpiLibrary, 'launcher'>
  } catch {
    return null
  }
}

/** The program that starts ranks of such a library, or `null` where none is on PATH. */
export async function findMpiLauncher(
  kind: MpiKind,
  env: ParallelEnvironment = currentEnvironment(),
): Promise<MpiLauncher | null> {
  for (const name of launcherNames[kind]) {
    const path = findProgram(name, env)
    const version = path === null ? null : await launcherVersion(path, kind)
    if (path !== null && version !== null) return { path, version }
  }
  return null
}

async function launcherVersion(path: string, kind: MpiKind): Promise<string | null> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: probeTimeoutMs })
    return launcherVersions[kind].exec(stdout)?.[1] ?? null
  } catch {
    return null
  }
}

function findProgram(name: string, env: ParallelEnvironment): string | null {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  return null
}
