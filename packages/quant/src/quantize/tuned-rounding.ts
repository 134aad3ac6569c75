import type { WeightScheme } from '../weight-scheme.ts'
import { createUnitScales, groupWidth, observeExtremes } from './observe-scales.ts'
import type { Extremes, Scales } from './observe-scales.ts'
import type { QuantizedParts } from './pack-weight.ts'
import { codeRange, schemeGroups } from './scheme-format.ts'
import type { WeightMatrix } from './weight-matrix.ts'

/** Adding and taking it away rounds to nearest, ties to even. */
const noFraction = 1.5 * 2 ** 52

/**
 * Integers with a shift before rounding for each weight, and a share of its extremes for each group. Gradients go through
 * rounding as if it were not there, and through clamping only inside.
 */
export class TunedRounding {
  readonly #matrix: WeightMatrix
  readonly #scheme: WeightScheme
  readonly #width: number
  readonly #groups: number
  readonly #extremes: Extremes
  readonly #scalesOf: (extremes: Extremes) => Scales
  readonly #shifts: Float32Array // [rows, cols], within half a code
  readonly #shares: { readonly min: Float32Array; readonly max: Float32Array } // [rows, groups], 0 to 1
  readonly #codes: Uint8Array
  readonly #errors: Float32Array
  #scales: Scales

  constructor(matrix: WeightMatrix, scheme: WeightScheme) {
    const { rows, cols } = matrix
    this.#matrix = matrix
    this.#scheme = scheme
    this.#width = groupWidth(scheme, cols)
    this.#groups = schemeGroups(scheme, cols)
    this.#extremes = observeExtremes(matrix, scheme)
    this.#scalesOf = createUnitScales(scheme, this.#extremes)
    this.#shifts = new Float32Array(rows * cols)
    const numGroups = rows * this.#groups
    this.#shares = { min: new Float32Array(numGroups).fill(1), max: new Float32Array(numGroups).fill(1) }
    this.#codes = new Uint8Array(rows * cols)
    this.#errors = new Float32Array(rows * cols)
    this.#scales = this.#scalesOf(this.#extremes)
  }

  /** Rounds with the shifts and shares of this moment; returns what the weights gain by it, until the next call. */
  round(): Float32Array {
    const { min, max } = this.#extremes
    this.#scales = this.#scalesOf({
      min: min.map((value, i) => value * this.#shares.min[i]!),
      max: max.map((value, i) => value * this.#shares.max[i]!),
    })
    const { offset } = codeRange(this.#scheme)
    const [values, shifts, last] = [this.#matrix.values, this.#shifts, 2 * offset - 1]
    this.#eachGroup((group, start, end) => {
      const scale = this.#scales.values[group]!
      const zero = this.#scales.zeros === null ? offset : this.#scales.zeros[group]!
      for (let at = start; at < end; at++) {
        const code = clamp(values[at]! / scale + shifts[at]! + zero, last) + noFraction - noFraction
        this.#codes[at] = code
        this.#errors[at] = (code - zero) * scale - values[at]!
      }
    })
    return this.#errors
  }

  /** A step against the signs of the gradients, where `gradient` is half of that by the rounded weights. */
  descend(gradient: Float32Array, rate: number): void {
    const { offset, max: largest, min: smallest } = codeRange(this.#scheme)
    const [values, shifts, last] = [this.#matrix.values, this.#shifts, 2 * offset - 1]
    const span = largest - smallest
    const { isSymmetric } = this.#scheme
    const { min, max } = this.#extremes
    this.#eachGroup((group, start, end) => {
      const scale = this.#scales.values[group]!
      const zero = this.#scales.zeros === null ? offset : this.#scales.zeros[group]!
      let [byScale, byZero] = [0, 0]
      for (let at = start; at < end; at++) {
        const slope = gradient[at]!
        const ratio = values[at]! / scale
        const exact = ratio + shifts[at]! + zero
        const isInside = exact >= 0 && exact <= last
        byScale += slope * (this.#codes[at]! - zero - (isInside ? ratio : 0))
        if (isInside) shifts[at] = within(shifts[at]! - rate * Math.sign(slope), -0.5, 0.5)
        else byZero -= slope * scale
      }
      const [low, high] = [-min[group]!, max[group]!]
      const [shareLow, shareHigh] = [this.#shares.min[group]!, this.#shares.max[group]!]
      if (isSymmetric) {
        // The scale is that of the larger one.
        const isLow = low * shareLow > high * shareHigh
        const share = isLow ? this.#shares.min : this.#shares.max
        share[group] = within(share[group]! - rate * Math.sign(byScale), 0, 1)
        return
      }
      // zero = low * shareLow / scale, scale = (low * shareLow + high * shareHigh) / span
      const zeroByScale = (-low * shareLow) / scale ** 2
      const byLow = (byScale + byZero * zeroByScale) * (low / span) + (byZero * low) / scale
      const byHigh = (byScale + byZero * zeroByScale) * (high / span)
      this.#shares.min[group] = within(shareLow - rate * Math.sign(byLow), 0, 1)
      this.#shares.max[group] = within(shareHigh - rate * Math.sign(byHigh), 0, 1)
    })
  }

  /** What the last rounding made, until the next. */
  parts(): QuantizedParts {
    return { codes: this.#codes, scales: this.#scales, order: null }
  }

  #eachGroup(visit: (group: number, start: number, end: number) => void): void {
    const { rows, cols } = this.#matrix
    for (let row = 0; row < rows; row++) {
      for (let g = 0; g < this.#groups; g++) {
        const start = row * cols + g * this.#width
        visit(row * this.#groups + g, start, Math.min(start + this.#width, (row + 1) * cols))
      }
    }
  }
}

function clamp(value: number, last: number): number {
  return value < 0 ? 0 : value > last ? last : value
}

function within(value: number, min: number, max: number): number {
  return value < min ? min : value > max ? max : value
}
