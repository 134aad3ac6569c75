import { encodeRow, widenRow } from '@octavo/core/loading'
import { codeValues, QuantizationError } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { e4m3Code, roundHalfEven } from './float-codes.ts'
import { createRounder } from './rounder.ts'
import { codeRange, schemeFormat, schemeGroups } from './scheme-format.ts'
import type { CodeRange } from './scheme-format.ts'
import type { WeightMatrix } from './weight-matrix.ts'

/** What codes are multiplied with, and what is subtracted from them before. */
export interface Scales {
  /** As stored: rounded to the scheme's dtype. */
  readonly values: Float32Array // [rows, numGroups]
  /** Among codes; `null` where the scheme is symmetric. */
  readonly zeros: Uint8Array | null // [rows, numGroups]
}

/** Extremes of what shares a scale. */
export interface Extremes {
  readonly min: Float32Array // [units]
  readonly max: Float32Array // [units]
}

/** Whose scale the columns of a row's group take. */
type UnitOf = (row: number, group: number) => number

/** llm-compressor's search (`observers/mse.py`): ranges down to 81 % in steps of 1 %, errors to the power of 2.4. */
const shrinkSteps = 20
const shrinkGrid = 100
const errorNorm = 2.4

/** What a scale of zero becomes: torch's `finfo(dtype).eps`. */
const zeroScales = { float32: 2 ** -23, float16: 2 ** -10, bfloat16: 2 ** -7, e8m0: 2 ** -127, e4m3: 2 ** -3 }

/**
 * Scales and zeros of a weight, as compressed-tensors' `calculate_qparams` has them: from the extremes, zero included;
 * symmetric `max|w| / ((2^b - 1) / 2)` (floats: by the largest code), else `(max - min) / (2^b - 1)`.
 *
 * @throws QuantizationError where a weight is not finite.
 */
export function observeScales(matrix: WeightMatrix, scheme: WeightScheme): Scales {
  const groups = schemeGroups(scheme, matrix.cols)
  const unitOf = unitsOf(scheme, groups)
  const extremes = observeExtremes(matrix, scheme)
  const makeUnits = createUnits(scheme, globalScale(scheme, extremes))
  const units =
    scheme.observer === 'mse' ? searchUnits(matrix, scheme, { extremes, unitOf, makeUnits }) : makeUnits(extremes, 1)
  return spread(units, [matrix.rows, groups], unitOf)
}

/** How units get their scales, once it is known what all of the matrix holds. */
export function createUnitScales(scheme: WeightScheme, whole: Extremes): (extremes: Extremes) => Scales {
  const makeUnits = createUnits(scheme, globalScale(scheme, whole))
  return (extremes) => makeUnits(extremes, 1)
}

/** Scales of units, of extremes times `shrink`. */
type MakeUnits = (extremes: Extremes, shrink: number) => Scales

function unitsOf({ strategy, blockShape }: WeightScheme, groups: number): UnitOf {
  switch (strategy) {
    case 'tensor':
      return () => 0
    case 'channel':
      return (row) => row
    case 'group':
      return (row, group) => row * groups + group
    case 'block': {
      const height = blockShape![0]
      return (row, group) => Math.floor(row / height) * groups + group
    }
  }
}

/** @throws QuantizationError where a weight is not finite. */
export function observeExtremes({ values, rows, cols }: WeightMatrix, scheme: WeightScheme): Extremes {
  const groups = schemeGroups(scheme, cols)
  const unitOf = unitsOf(scheme, groups)
  const numUnits = unitOf(rows - 1, groups - 1) + 1
  const [min, max] = [new Float32Array(numUnits), new Float32Array(numUnits)]
  const width = groupWidth(scheme, cols)
  for (let row = 0; row < rows; row++) {
    for (let group = 0, start = row * cols; group < groups; group++, start += width) {
      const end = Math.min(start + width, (row + 1) * cols)
      let [low, high, check] = [0, 0, 0]
      for (let at = start; at < end; at++) {
        const value = values[at]!
        if (value < low) low = value
        if (value > high) high = value
        check += value - value
      }
      if (check !== 0) throw notFinite(values.subarray(start, end), row, start - row * cols)
      const unit = unitOf(row, group)
      if (low < min[unit]!) min[unit] = low
      if (high > max[unit]!) max[unit] = high
    }
  }
  return { min, max }
}

function notFinite(values: Float32Array, row: number, firstCol: number): QuantizationError {
  const at = values.findIndex((value) => !Number.isFinite(value))
  return new QuantizationError(
    `row ${row}, column ${firstCol + at} of the weight is ${values[at]}, which has no code; check the checkpoint and the passes before`,
  )
}

/** Columns of a group, all of a row's where it has but one. */
export function groupWidth(scheme: WeightScheme, cols: number): number {
  const { groupSize } = schemeFormat(scheme)
  return groupSize === 'channel' ? cols : groupSize
}

/** NVFP4's scale of the whole matrix, by which the scales of groups fill e4m3's range; 1 elsewhere. */
function globalScale({ scaleDtype }: WeightScheme, { min, max }: Extremes): number {
  if (scaleDtype !== 'e4m3') return 1
  let largest = 0
  for (let unit = 0; unit < min.length; unit++) largest = Math.max(largest, -min[unit]!, max[unit]!)
  const scale = Math.fround((448 * 6) / largest)
  return Number.isFinite(scale) ? scale : 1
}

function createUnits(scheme: WeightScheme, global: number): MakeUnits {
  const { isSymmetric, scaleDtype } = scheme
  const range = codeRange(scheme)
  const span = range.max - range.min
  const round = createScaleRounding(scaleDtype, range, global)
  return ({ min, max }, share) => {
    const shrink = Math.fround(share)
    const values = new Float32Array(min.length)
    const zeros = isSymmetric ? null : new Uint8Array(min.length)
    for (let unit = 0; unit < values.length; unit++) {
      const [low, high] = [Math.fround(min[unit]! * shrink), Math.fround(max[unit]! * shrink)]
      const exact = isSymmetric ? Math.max(-low, high) / (span / 2) : Math.fround(high - low) / span
      const scale = round(Math.fround(exact))
      if (scale === Infinity)
        throw new QuantizationError(
          `a scale of ${exact} is beyond ${scaleDtype}; keep scales in bfloat16 or float32, or check the weight for outliers`,
        )
      values[unit] = scale === 0 ? zeroScales[scaleDtype] / global : scale
      if (zeros !== null) zeros[unit] = zeroOf(low, values[unit]!, range)
    }
    return { values, zeros }
  }
}

function zeroOf(min: number, scale: number, range: CodeRange): number {
  const zero = Math.fround(range.min - Math.fround(min / scale))
  return roundHalfEven(Math.min(Math.max(zero, range.min), range.max)) + range.offset
}

/** To what the dtype can hold. */
function createScaleRounding(
  dtype: WeightScheme['scaleDtype'],
  range: CodeRange,
  global: number,
): (scale: number) => number {
  const value = new Float32Array(1)
  const bytes = new Uint8Array(2)
  switch (dtype) {
    case 'float32':
      return (scale) => scale
    case 'float16':
    case 'bfloat16':
      return (scale) => {
        value[0] = scale
        encodeRow(dtype, value, bytes, 0)
        widenRow(dtype, bytes, value, 1)
        return value[0]!
      }
    case 'e8m0':
      return (scale) => powerOfTwo(scale * range.max, range.max)
    case 'e4m3': {
      const floats = codeValues({ bits: 8, codebook: 'e4m3', hasZeros: false })
      return (scale) => floats[e4m3Code(Math.fround(scale * global))]! / global
    }
  }
}

/** A scale of MX (`mxfp_utils.py`): the largest magnitude's power of two, from 1.75 times on the next, over that of the codes. */
function powerOfTwo(largest: number, largestCode: number): number {
  const bits = new Uint16Array(1)
  encodeRow('bfloat16', Float32Array.of(largest), new Uint8Array(bits.buffer), 0)
  const exponent = ((bits[0]! + 32) >>> 7) - 127 - Math.floor(Math.log2(largestCode))
  return 2 ** Math.min(Math.max(exponent, -127), 127)
}

interface SearchOptions {
  readonly extremes: Extremes
  readonly unitOf: UnitOf
  readonly makeUnits: MakeUnits
}

/** The best of ranges that are cut shorter and shorter. */
function searchUnits(matrix: WeightMatrix, scheme: WeightScheme, options: SearchOptions): Scales {
  const { values, rows, cols } = matrix
  const { extremes, unitOf, makeUnits } = options
  const rounder = createRounder(scheme)
  const width = groupWidth(scheme, cols)
  const groups = schemeGroups(scheme, cols)
  const best = makeUnits(extremes, 1)
  const leastErrors = new Float64Array(best.values.length).fill(Infinity)
  for (let step = 0; step < shrinkSteps; step++) {
    const tried = makeUnits(extremes, 1 - step / shrinkGrid)
    const errors = new Float64Array(leastErrors.length)
    for (let row = 0; row < rows; row++) {
      for (let group = 0, start = row * cols; group < groups; group++, start += width) {
        const unit = unitOf(row, group)
        const end = Math.min(start + width, (row + 1) * cols)
        const run = { values, start, end, scale: tried.values[unit]!, zero: tried.zeros?.[unit] ?? 0 }
        errors[unit]! += rounder.errorOf(run, errorNorm)
      }
    }
    for (let unit = 0; unit < errors.length; unit++) {
      if (errors[unit]! >= leastErrors[unit]!) continue
      leastErrors[unit] = errors[unit]!
      best.values[unit] = tried.values[unit]!
      if (best.zeros !== null) best.zeros[unit] = tried.zeros![unit]!
    }
  }
  return best
}

/** What units share, for each group of each row. */
function spread({ values, zeros }: Scales, [rows, groups]: readonly [number, number], unitOf: UnitOf): Scales {
  if (values.length === rows * groups) return { values, zeros }
  const units = Int32Array.from({ length: rows * groups }, (_, i) => unitOf(Math.floor(i / groups), i % groups))
  return {
    values: Float32Array.from(units, (unit) => values[unit]!),
    zeros: zeros && Uint8Array.from(units, (unit) => zeros[unit]!),
  }
}
