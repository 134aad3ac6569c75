import { InvalidConfigError } from '@octavo/core'

export function checkNewGroup(ranks: readonly number[], worldSize: number): void {
  const isRank = (rank: number) => Number.isSafeInteger(rank) && rank >= 0 && rank < worldSize
  if (ranks.length === 0 || new Set(ranks).size !== ranks.length || !ranks.every(isRank))
    throw new InvalidConfigError(
      'ranks',
      `are [${ranks.join(', ')}]; a group has one or more different ranks of 0 to ${worldSize - 1}.`,
    )
}

/** What ranks compare to know that they make the same group. */
export function hashOf(ranks: readonly number[]): number {
  return ranks.reduce((hash, rank) => (Math.imul(hash, 31) + rank + 1) | 0, ranks.length)
}
