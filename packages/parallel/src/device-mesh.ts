import { InvalidConfigError } from '@octavo/core'
import type { ProcessGroup, WorldProcessGroup } from './process-group.ts'

export type MeshDimension = 'dp' | 'pp' | 'tp' | 'ep'

export type MeshSizes = Readonly<Record<MeshDimension, number>>

/**
 * Ranks as a grid: rank = (dp * ppSize + pp) * width + place, width = max(tp, ep).
 *
 *     tp 2, pp 2:   stage 0 = ranks 0 1    tp groups (0 1) (2 3)
 *                   stage 1 = ranks 2 3    pp groups (0 2) (1 3)
 */
export interface DeviceMesh {
  readonly sizes: MeshSizes
  /** Where this rank is; with tp 1 and ep n its place counts for ep alone. */
  readonly coordinates: MeshSizes
  /** This rank's group along a dimension. */
  getGroup(dimension: MeshDimension): ProcessGroup
}

/** Sizes left out are 1. They must multiply to the number of ranks. */
export function resolveMeshSizes(sizes: Partial<MeshSizes>, worldSize: number): MeshSizes {
  const resolved = { dp: 1, pp: 1, tp: 1, ep: 1, ...sizes }
  for (const [name, size] of Object.entries(resolved))
    if (!Number.isSafeInteger(size) || size < 1)
      throw new InvalidConfigError(name, `is ${size}; it must be a whole number of at least 1.`)
  const { dp, pp, tp, ep } = resolved
  if (ep !== 1 && tp !== 1 && ep !== tp)
    throw new InvalidConfigError('ep', `is ${ep} with tp ${tp}. Pass ep 1, ep ${tp}, or tp 1.`)
  const numRanks = dp * pp * Math.max(tp, ep)
  if (numRanks !== worldSize)
    throw new InvalidConfigError(
      'worldSize',
      `is ${worldSize}, but dp ${dp} × pp ${pp} × max(tp ${tp}, ep ${ep}) = ${numRanks} ranks. Start ${numRanks} ranks, or change the sizes.`,
    )
  return Object.freeze(resolved)
}

/** Where `rank` is in a mesh of these sizes. */
export function meshCoordinates({ pp, tp, ep }: MeshSizes, rank: number): MeshSizes {
  const width = Math.max(tp, ep)
  const place = rank % width
  const stage = Math.floor(rank / width)
  return { dp: Math.floor(stage / pp), pp: stage % pp, tp: tp === 1 ? 0 : place, ep: ep === 1 ? 0 : place }
}

/** Every rank of the world calls it with the same sizes. */
export function initDeviceMesh(world: WorldProcessGroup, sizes: Partial<MeshSizes>): DeviceMesh {
  const resolved = resolveMeshSizes(sizes, world.size)
  // Groups of the same ranks are one: tp 2 with ep 2 needs no second, tp over all ranks none at all.
  const groups = new Map<string, ProcessGroup | null>([[world.ranks.join(), world]])
  const own = new Map<MeshDimension, ProcessGroup>()
  for (const dimension of ['tp', 'ep', 'pp', 'dp'] as const)
    for (const ranks of meshGroups(resolved, dimension)) {
      const key = ranks.join()
      if (!groups.has(key)) groups.set(key, world.newGroup(ranks))
      const group = groups.get(key)
      if (group) own.set(dimension, group)
    }
  return {
    sizes: resolved,
    coordinates: meshCoordinates(resolved, world.rank),
    getGroup: (dimension) => own.get(dimension)!,
  }
}

/** The ranks of each group along a dimension; together they are all ranks of the world, each once. */
export function meshGroups(sizes: MeshSizes, dimension: MeshDimension): number[][] {
  const width = Math.max(sizes.tp, sizes.ep)
  const steps = { dp: sizes.pp * width, pp: width, tp: 1, ep: 1 }
  const size = sizes[dimension]
  const numRanks = sizes.dp * sizes.pp * width
  const firsts = Array.from({ length: numRanks }, (_, rank) => rank).filter(
    (rank) => Math.floor(rank / steps[dimension]) % size === 0,
  )
  return firsts.map((first) => Array.from({ length: size }, (_, i) => first + i * steps[dimension]))
}
