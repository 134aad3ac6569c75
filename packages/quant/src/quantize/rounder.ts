import { codeValues } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { e2m1Code, e4m3Code } from './float-codes.ts'
import { codeRange, schemeFormat } from './scheme-format.ts'

/** Values of a row that share a scale. */
export interface Run {
  readonly values: Float32Array
  readonly start: number
  readonly end: number
  readonly scale: number
  /** Among codes; 0 where there is none. */
  readonly zero: number
}

/** One column of a weight, each row with its own scale and zero. */
export interface ColumnScales {
  readonly scales: Float32Array // [rows]
  readonly zeros: Uint8Array | null // [rows]
}

/** Rounds weights to codes as compressed-tensors does: `clamp(w / scale + zero)` in float32, then half to even. */
export interface Rounder {
  /** Codes from `codes[to]` on. */
  codesOf(run: Run, codes: Uint8Array, to: number): void
  /** The sum of |w - (code - zero) * scale|^power. */
  errorOf(run: Run, power: number): number
  /** The codes of a column; the column itself becomes what rounding takes away from it. */
  roundColumn(column: Float32Array, scales: ColumnScales, codes: Uint8Array): void
}

/** Adding and taking it away rounds to nearest, ties to even. */
const noFraction = 1.5 * 2 ** 52
const { fround } = Math

export function createRounder(scheme: WeightScheme): Rounder {
  const range = codeRange(scheme)
  if (range.codebook === 'integers') return integerRounder(range.offset, scheme.isSymmetric)
  const values = codeValues(schemeFormat(scheme))
  return range.codebook === 'e2m1' ? floatRounder(e2m1Code, values) : floatRounder(e4m3Code, values)
}

/** Codes lie `offset` above the signed integers, in which the reference computes. */
function integerRounder(offset: number, isSymmetric: boolean): Rounder {
  const [min, max] = [-offset, offset - 1]
  const signedZero = (zero: number): number => (isSymmetric ? 0 : zero - offset)
  return {
    codesOf({ values, start, end, scale, zero }, codes, to) {
      const shift = signedZero(zero)
      for (let at = start; at < end; at++) {
        const value = fround(fround(values[at]! / scale) + shift)
        const clamped = value < min ? min : value > max ? max : value
        codes[to++] = clamped + noFraction - noFraction + offset
      }
    },
    errorOf({ values, start, end, scale, zero }, power) {
      const shift = signedZero(zero)
      let sum = 0
      for (let at = start; at < end; at++) {
        const value = fround(fround(values[at]! / scale) + shift)
        const clamped = value < min ? min : value > max ? max : value
        const rounded = clamped + noFraction - noFraction
        sum += Math.abs(fround((rounded - shift) * scale) - values[at]!) ** power
      }
      return sum
    },
    roundColumn(column, { scales, zeros }, codes) {
      for (let row = 0; row < column.length; row++) {
        const scale = scales[row]!
        const shift = zeros === null ? 0 : zeros[row]! - offset
        const value = fround(fround(column[row]! / scale) + shift)
        const clamped = value < min ? min : value > max ? max : value
        const rounded = clamped + noFraction - noFraction
        codes[row] = rounded + offset
        column[row] = column[row]! - fround((rounded - shift) * scale)
      }
    },
  }
}

function floatRounder(codeOf: (value: number) => number, floats: Float32Array): Rounder {
  return {
    codesOf({ values, start, end, scale }, codes, to) {
      for (let at = start; at < end; at++) codes[to++] = codeOf(fround(values[at]! / scale))
    },
    errorOf({ values, start, end, scale }, power) {
      let sum = 0
      for (let at = start; at < end; at++) {
        const rounded = floats[codeOf(fround(values[at]! / scale))]!
        sum += Math.abs(fround(rounded * scale) - values[at]!) ** power
      }
      return sum
    },
    roundColumn(column, { scales }, codes) {
      for (let row = 0; row < column.length; row++) {
        const scale = scales[row]!
        const code = codeOf(fround(column[row]! / scale))
        codes[row] = code
        column[row] = column[row]! - fround(floats[code]! * scale)
      }
    },
  }
}
