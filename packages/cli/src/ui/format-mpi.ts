import type { MpiLibrary } from '@octavo/parallel/executor'

/** One line for people. */
export function formatMpi(libraries: readonly MpiLibrary[]): string {
  if (libraries.length === 0) return 'none: install Open MPI or MPICH to run ranks in several processes'
  return libraries
    .map(({ name, version, path, library, launcher }) => {
      const start = launcher === null ? 'without a launcher on the PATH' : `started by ${launcher.path}`
      return `${name} ${version} (${path ?? library}), ${start}`
    })
    .join('; ')
}
