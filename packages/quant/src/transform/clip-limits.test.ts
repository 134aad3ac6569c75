import { describe, expect, it } from 'vitest'
import { groupWidth } from '../quantize/observe-scales.ts'
import { resolveScheme } from '../quantize/scheme-options.ts'
import { solverInput, solverWeight } from '../quantize/solver-data.case.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { cutWeights, GroupMoments, searchLimits } from './clip-limits.ts'
import { roundValues } from './round-values.ts'

const [tokens, rows, cols] = [200, 12, 64]
const inputs = solverInput({ tokens, cols, seed: 3, dead: true })

function momentsOf(values: Float32Array): Float64Array {
  const sums = new Float64Array(cols * cols)
  for (let start = 0; start < values.length; start += cols)
    for (let i = 0; i < cols; i++)
      for (let j = i; j < cols; j++) sums[i * cols + j]! += values[start + i]! * values[start + j]!
  return sums
}

/** Of each group of each row, token by token: the squared error of what its columns add to the output. */
function errorsOf(original: Float32Array, rounded: Float32Array, width: number): number[] {
  return Array.from({ length: original.length / width }, (_, place) => {
    const [row, first] = [Math.floor((place * width) / cols), (place * width) % cols]
    let sum = 0
    for (let token = 0; token < tokens; token++) {
      let output = 0
      for (let col = first; col < first + width; col++)
        output += (rounded[row * cols + col]! - original[row * cols + col]!) * inputs[token * cols + col]!
      sum += output ** 2
    }
    return sum
  })
}

function roundedAt(values: Float32Array, limits: Float32Array, scheme: WeightScheme): Float32Array {
  const rounded = cutWeights(values.slice(), limits)
  roundValues({ values: rounded, rows, cols }, scheme)
  return rounded
}

const schemes = [
  { bits: 4, groupSize: 'channel' },
  { bits: 4, groupSize: 'channel', isSymmetric: false },
  { bits: 3, groupSize: 16 },
] as const

describe.each(schemes)('limits of %o', (options) => {
  const scheme = resolveScheme(options)
  const width = groupWidth(scheme, cols)
  const { values } = solverWeight(rows, cols, 11)
  using moments = new GroupMoments(momentsOf(inputs), { cols, width })
  const limits = searchLimits({ values, rows, cols }, scheme, moments)
  const largest = limits.map((_, place) =>
    values.subarray(place * width, (place + 1) * width).reduce((max, value) => Math.max(max, Math.abs(value)), 0),
  )

  it('are those of least error over all tokens, of all shares on the grid', () => {
    const found = errorsOf(values, roundedAt(values, limits, scheme), width)
    for (let step = 0; step <= 25; step++) {
      const tried = largest.map((value) => Math.fround(value * (1 - step / 50)))
      const errors = errorsOf(values, roundedAt(values, tried, scheme), width)
      errors.forEach((error, place) => expect(found[place]! / error, `place ${place}`).toBeLessThan(1 + 1e-4))
    }
    expect(limits.some((limit, place) => limit < largest[place]!)).toBe(true)
    const steps = Array.from(limits, (limit, place) => (200 * limit) / largest[place]!)
    expect(steps.every((step) => Math.abs(step - Math.round(step)) < 1e-3)).toBe(true)
    expect(steps.some((step) => Math.round(step) % 4 !== 0)).toBe(true)
    expect(limits.every((limit, place) => limit <= largest[place]! && limit > 0.49 * largest[place]!)).toBe(true)
  })

  it('leave weights alone that nothing reads', () => {
    using none = new GroupMoments(new Float64Array(cols * cols), { cols, width })
    expect(searchLimits({ values, rows, cols }, scheme, none)).toEqual(Float32Array.from(largest))
  })
})
