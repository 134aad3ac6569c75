import { InvalidConfigError } from '@octavo/core/backend'
import { checkGroupedFormat, groupedFormat, numGroups } from '@octavo/core/quantization'
import type { Codebook, GroupedFormat } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'

/** The largest magnitudes of floating-point codes. */
const largestFloats = { e2m1: 6, e4m3: 448 }

/** The integers or the range of floats that codes of a scheme stand for, before zeros and scales. */
export interface CodeRange {
  readonly codebook: Codebook & string
  readonly min: number
  readonly max: number
  /** Of integers: what is added to one to make its code. */
  readonly offset: number
}

export function codeRange({ type, numBits }: WeightScheme): CodeRange {
  if (type === 'int') {
    const half = 2 ** (numBits - 1)
    return { codebook: 'integers', min: -half, max: half - 1, offset: half }
  }
  const codebook = numBits === 4 ? 'e2m1' : 'e4m3'
  return { codebook, min: -largestFloats[codebook], max: largestFloats[codebook], offset: 0 }
}

/**
 * How a weight of a scheme lies in memory. One scale for a matrix or a block is repeated for all rows that share it; e8m0
 * and e4m3 scales become the float32 that they stand for, NVFP4's divided by the scale of the whole matrix.
 */
export function schemeFormat(scheme: WeightScheme, hasOrder = false): GroupedFormat {
  const { strategy, groupSize, blockShape, scaleDtype } = scheme
  const isNarrow = scaleDtype === 'e8m0' || scaleDtype === 'e4m3'
  return groupedFormat({
    bits: scheme.numBits,
    codebook: codeRange(scheme).codebook,
    groupSize: strategy === 'group' ? groupSize! : strategy === 'block' ? blockShape![1] : 'channel',
    scaleDtype: isNarrow ? 'float32' : scaleDtype,
    hasZeros: !scheme.isSymmetric,
    hasOrder,
  })
}

/** Scales of each row. */
export function schemeGroups(scheme: WeightScheme, cols: number): number {
  return numGroups(schemeFormat(scheme), cols)
}

/** @throws InvalidConfigError for a scheme that no weight can have. */
export function checkScheme(scheme: WeightScheme): void {
  const { numBits, type, isSymmetric, strategy, groupSize, blockShape, scaleDtype } = scheme
  const refuse = (field: string, reason: string): never => {
    throw new InvalidConfigError(`scheme.${field}`, reason)
  }
  if (type === 'float' && numBits !== 4 && numBits !== 8)
    refuse('numBits', `floats have 4 bits (e2m1) or 8 (e4m3), not ${numBits}`)
  if (type === 'float' && !isSymmetric) refuse('isSymmetric', 'floats have no zero points: say true')
  if (strategy === 'group' && !isPositive(groupSize)) refuse('groupSize', `must be 1 or more, got ${groupSize}`)
  if (strategy === 'block' && !(blockShape !== null && blockShape.every(isPositive)))
    refuse('blockShape', `must be two sizes of 1 or more, got ${JSON.stringify(blockShape)}`)
  if ((scaleDtype === 'e8m0' || scaleDtype === 'e4m3') && (type !== 'float' || strategy !== 'group'))
    refuse('scaleDtype', `${scaleDtype} is for scales of groups of floats`)
  checkGroupedFormat(schemeFormat(scheme))
}

function isPositive(size: number | null): boolean {
  return Number.isInteger(size) && size! > 0
}
