import { currentEnvironment, type ParallelEnvironment } from '../parallel-env.ts'
import { MpiLibraryError } from '../process-group-errors.ts'

/** Two binary interfaces: handles are pointers or numbers. Intel MPI, MVAPICH and Cray MPICH have MPICH's. */
export type MpiKind = 'openmpi' | 'mpich'

export interface MpiVersion {
  readonly kind: MpiKind
  /** As it calls itself: `Open MPI`, `MPICH`, `Intel MPI`. */
  readonly name: string
  readonly version: string
}

const known: readonly { readonly kind: MpiKind; readonly name: string; readonly pattern: RegExp }[] = [
  { kind: 'openmpi', name: 'Open MPI', pattern: /Open MPI v([\w.]+)/ },
  { kind: 'mpich', name: 'Cray MPICH', pattern: /CRAY MPICH version\s+([\w.]+)/i },
  { kind: 'mpich', name: 'MVAPICH', pattern: /MVAPICH2? Version\s*:\s*([\w.]+)/i },
  { kind: 'mpich', name: 'Intel MPI', pattern: /Intel\(R\) MPI Library ([\w.]+)/ },
  { kind: 'mpich', name: 'MPICH', pattern: /MPICH Version:\s*([\w.]+)/ },
]

/** What MPI_Get_library_version says. */
export function parseMpiVersion(text: string, library: string): MpiVersion {
  for (const { kind, name, pattern } of known) {
    const version = pattern.exec(text)?.[1]
    if (version !== undefined) return { kind, name, version }
  }
  throw new MpiLibraryError(
    `${library} calls itself "${text.split('\n', 1)[0]}". Octavo knows Open MPI, and MPICH with its relatives Intel MPI, MVAPICH and Cray MPICH; name one of these with MPI_LIBRARY.`,
  )
}

/** Names that the dynamic linker knows the libraries by; `.80` is that of Open MPI's later majors. */
const sonames: Readonly<Record<MpiKind, readonly string[]>> = {
  openmpi: ['libmpi.so.40', 'libmpi.so.80', 'libmpi.40.dylib'],
  mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'],
}

type Environment = ParallelEnvironment

/** Which libraries to try, best first: the one that MPI_LIBRARY names, or that of the launcher that started this process. */
export function candidateLibraries(env: Environment = currentEnvironment()): readonly string[] {
  if (env['MPI_LIBRARY']) return [env['MPI_LIBRARY']]
  const kind = launcherKind(env)
  return kind === null ? [...sonames.openmpi, ...sonames.mpich] : sonames[kind]
}

/** Whose launcher started this process; `null` where none did. */
export function launcherKind(env: Environment = currentEnvironment()): MpiKind | null {
  if (env['OMPI_COMM_WORLD_SIZE'] ?? env['PMIX_RANK']) return 'openmpi'
  return (env['PMI_SIZE'] ?? env['PMI_RANK']) ? 'mpich' : null
}
