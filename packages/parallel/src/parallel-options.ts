import { InvalidConfigError, resolveOptions, type ResolvedOptions } from '@octavo/core'
import { type ParallelOptions, parallelOptionTable } from './parallel-option-table.ts'
import { isMpiRank } from './rank-environment.ts'

/** Complete and checked. */
export interface ParallelConfig extends Omit<ResolvedOptions<typeof parallelOptionTable>, 'executor'> {
  readonly executor: 'threads' | 'mpi'
  /** Ranks of one stage. */
  readonly width: number
  readonly worldSize: number
}

/**
 * @param isLaunchedByMpi whether an MPI launcher has started this process as one of several
 * @throws InvalidConfigError naming the option, its value and what is allowed; unknown options are errors
 */
export function resolveParallelOptions(options: ParallelOptions, isLaunchedByMpi = isMpiRank()): ParallelConfig {
  checkNames(options)
  const resolved = resolveOptions(parallelOptionTable, { ...options, hosts: splitHosts(options.hosts) })
  const { tp, pp, ep, hosts, layerSplit } = resolved
  const width = Math.max(tp, ep)
  const worldSize = width * pp
  const needsMpi = hosts !== null || (isLaunchedByMpi && worldSize > 1)
  const executor = resolved.executor === 'auto' ? (needsMpi ? 'mpi' : 'threads') : resolved.executor
  if (tp > 1 && ep > 1 && tp !== ep) {
    throw new InvalidConfigError(
      'ep',
      `is ${ep}, but tp is ${tp}: experts are shared by the ranks that share attention; pass ${tp}, or tp 1`,
    )
  }
  if (layerSplit !== null && layerSplit.length !== pp) {
    throw new InvalidConfigError(
      'layerSplit',
      `has ${layerSplit.length} parts (${layerSplit.join(',')}) for ${pp} stage${pp === 1 ? '' : 's'} (pp); give one number for each`,
    )
  }
  if (hosts !== null && executor === 'threads')
    throw new InvalidConfigError('hosts', 'needs processes of their own there; pass executor mpi or leave it out')
  if (hosts !== null && worldSize % hosts.length !== 0) {
    throw new InvalidConfigError(
      'hosts',
      `has ${hosts.length} machines for ${worldSize} ranks, which cannot be spread evenly; name a number that divides ${worldSize}`,
    )
  }
  return Object.freeze({ ...resolved, executor, width, worldSize })
}

/** Whether the model runs elsewhere than in the engine's own thread. */
export function isParallel({ worldSize, executor }: ParallelConfig): boolean {
  return worldSize > 1 || executor === 'mpi'
}

/** `h0,h1` names two, as launchers have it. */
function splitHosts(hosts: ParallelOptions['hosts']): unknown {
  if (hosts === undefined || hosts === null) return undefined
  return [hosts].flat().flatMap((name: unknown) => (typeof name === 'string' ? name.split(',') : [name]))
}

/** A program without types may pass anything. */
function checkNames(options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const got = JSON.stringify(options)
    throw new InvalidConfigError('parallel', `must be an object of options, such as { tp: 2 }, got ${got}`)
  }
  const known = Object.keys(parallelOptionTable)
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue
    throw new InvalidConfigError(`parallel.${name}`, `is not an option; those are ${known.join(', ')}`)
  }
}
