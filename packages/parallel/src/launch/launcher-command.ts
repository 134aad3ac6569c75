import type { MpiKind } from '../mpi/mpi-kind.ts'

export interface LauncherCommandOptions {
  readonly worldSize: number
  /** `null` = this machine. */
  readonly hosts: readonly string[] | null
  /** The program that each rank is. */
  readonly command: readonly string[]
  /** Of the variables those that ranks on other hosts need, too. */
  readonly variables: readonly string[]
}

/**
 * Ranks are not bound to cores: two jobs on one machine would be bound to the same. Neighbours in rank order are on one
 * host, so that those of a stage, which talk most, are.
 */
export function launcherArguments(kind: MpiKind, options: LauncherCommandOptions): string[] {
  const { worldSize, hosts, command, variables } = options
  const numPerHost = worldSize / (hosts?.length ?? 1)
  if (kind === 'mpich') {
    const where = hosts === null ? [] : ['-hosts', hosts.join(','), '-ppn', String(numPerHost)]
    return [...where, '-n', String(worldSize), '-bind-to', 'none', ...command]
  }
  const where = hosts === null ? [] : ['--host', hosts.map((host) => `${host}:${numPerHost}`).join(',')]
  const passed = variables.flatMap((name) => ['-x', name])
  return [...where, '-n', String(worldSize), '--bind-to', 'none', '--oversubscribe', ...passed, ...command]
}

/** Both libraries refuse root unless told, each in its own words; in a container there is often nobody else. */
export const rootVariables = {
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  PRTE_ALLOW_RUN_AS_ROOT: '1',
  PRTE_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
} as const
