import { InvalidConfigError } from '@octavo/core'
import type { RankLink } from '../launch/rank-link.ts'
import type { RankIdentity } from '../rank/rank-messages.ts'

const properties = [
  ['version', 'Octavo', 'install the same version everywhere'],
  ['checkpoint', 'the checkpoint', 'copy the same files everywhere'],
  ['mpiLibrary', 'the MPI library', 'install the same one everywhere, or choose by the option mpi'],
] as const

/** Before weights are loaded. @throws InvalidConfigError naming two ranks that cannot work together */
export function checkIdentities(identities: readonly RankIdentity[], links: readonly Pick<RankLink, 'name'>[]): void {
  const [first] = identities
  if (first === undefined) return
  for (const [property, what, remedy] of properties) {
    const other = identities.findIndex((identity) => identity[property] !== first[property])
    if (other === -1) continue
    throw new InvalidConfigError(
      'hosts',
      `${what} is not the same on all ranks: ${links[0]?.name} has ${first[property]}, ${links[other]?.name} has ${identities[other]?.[property]}; ${remedy}`,
    )
  }
}
