import { InvalidConfigError } from '@octavo/core'
import type { ParallelConfig } from '../parallel-options.ts'
import { parseRankEnvironment, type RankEnvironment } from '../rank-environment.ts'

/**
 * Which rank an MPI launcher made of this process; `null` where none did, and Octavo starts the ranks.
 * @throws InvalidConfigError where it started more or fewer than the options ask for
 */
export function launchedPlace({ executor, hosts, tp, pp, ep, worldSize }: ParallelConfig): RankEnvironment | null {
  const place = executor === 'mpi' ? parseRankEnvironment() : null
  if (place === null || place.worldSize === 1) return null
  if (hosts !== null) {
    throw new InvalidConfigError(
      'hosts',
      `is for ranks that Octavo starts, but ${place.source} has started ${place.worldSize} already; give the hosts to that`,
    )
  }
  if (place.worldSize !== worldSize) {
    throw new InvalidConfigError(
      'tp',
      `${tp} with pp ${pp} and ep ${ep} takes ${worldSize} rank${worldSize === 1 ? '' : 's'}, but ${place.source} has started ${place.worldSize}; start ${worldSize}`,
    )
  }
  return place
}
