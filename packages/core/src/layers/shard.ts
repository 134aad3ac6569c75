import { checkHeads } from '../config/parallel-sizes.ts'
import { InvalidConfigError } from '../errors.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { greatestCommonDivisor } from '../util/math.ts'
import type { Communicator } from './communicator.ts'
import type { LinearRole } from './linear-method.ts'
import type { WeightLoader } from './weight-loader.ts'

type Ranks = Pick<Communicator, 'rank' | 'size'>

export interface ShardOptions {
  /** For messages: whose features they are. */
  readonly name: string
  /** So many features stand together; default 1. */
  readonly unit?: number
}

/**
 * The features that one rank holds: contiguous, whole units, and as many as the other ranks, or one unit more where they do
 * not divide: the first ranks have it.
 */
export function shardRange(features: number, { rank, size }: Ranks, { name, unit = 1 }: ShardOptions): RowRange {
  const numUnits = Math.ceil(features / unit)
  if (numUnits < size) {
    const inUnits = unit === 1 ? '' : ` in blocks of ${unit}`
    throw new InvalidConfigError(
      'tp',
      `${size} ranks cannot share the ${features} features of ${name}${inUnits}; use up to ${numUnits}`,
    )
  }
  const border = (r: number): number => Math.min(features, unit * evenBorder(numUnits, r, size))
  return { start: border(rank), end: border(rank + 1) }
}

/** How many of `total` the ranks before `rank` have, where all have as many, or the first ones one more. */
export function evenBorder(total: number, rank: number, size: number): number {
  return rank * Math.floor(total / size) + Math.min(rank, total % size)
}

export interface InnerFeatures {
  readonly features: number
  /** The layers that take these features, all divided alike, as names up to the dot before `weight`. */
  readonly modules: readonly string[]
  readonly role: LinearRole
}

/** This rank's share of the features between two layers, cut where the weights behind them can be: between blocks. */
export function shardInnerFeatures(loader: WeightLoader, { features, modules, role }: InnerFeatures): RowRange {
  const { communicator } = loader
  const units = communicator.size === 1 ? [] : modules.map((module) => columnUnit(loader, module, role))
  return shardRange(features, communicator, { name: modules[0] ?? '', unit: units.reduce(leastCommonMultiple, 1) })
}

/** How many columns of a module's weight stand together. */
export function columnUnit(loader: WeightLoader, module: string, role: LinearRole): number {
  return loader.linearMethods(module, role).columnUnit?.(loader, `${module}.weight`) ?? 1
}

/** Heads that one rank computes. With more ranks than key/value heads, each of these is held by several ranks. */
export interface HeadShare {
  readonly numHeads: number
  readonly numKvHeads: number
  readonly firstHead: number
  readonly firstKvHead: number
}

export function shareHeads(heads: { numHeads: number; numKvHeads: number }, { rank, size }: Ranks): HeadShare {
  const { numHeads, numKvHeads } = heads
  checkHeads(heads, size)
  return {
    numHeads: numHeads / size,
    numKvHeads: Math.max(1, numKvHeads / size),
    firstHead: (rank * numHeads) / size,
    firstKvHead: Math.floor((rank * numKvHeads) / size),
  }
}

function leastCommonMultiple(a: number, b: number): number {
  return (a / greatestCommonDivisor(a, b)) * b
}
