import { describe, expect, it } from 'vitest'
import { groupWidth, observeScales } from '../quantize/observe-scales.ts'
import { createRounder } from '../quantize/rounder.ts'
import { resolveScheme } from '../quantize/scheme-options.ts'
import { solverInput, solverWeight } from '../quantize/solver-data.case.ts'
import type { WeightMatrix } from '../quantize/weight-matrix.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { cutWeights, GroupMoments, searchRoughLimits } from './clip-limits.ts'
import { descendScales } from './descend-scales.ts'

const tokens = 200

function momentsOf(inputs: Float32Array, cols: number): Float64Array {
  const sums = new Float64Array(cols * cols)
  for (let start = 0; start < inputs.length; start += cols)
    for (let i = 0; i < cols; i++)
      for (let j = i; j < cols; j++) sums[i * cols + j]! += inputs[start + i]! * inputs[start + j]!
  return sums
}

/** Token by token: the squares of what rounding adds to outputs, columns scaled, rows cut where it is best without scales. */
function outputError(
  { values, rows, cols }: WeightMatrix,
  {
    scheme,
    inputs,
    sums,
    factors,
  }: { scheme: WeightScheme; inputs: Float32Array; sums: Float64Array; factors: Float32Array },
): number {
  const width = groupWidth(scheme, cols)
  using moments = new GroupMoments(sums, { cols, width })
  const cut = cutWeights(values.slice(), searchRoughLimits({ values, rows, cols }, scheme, moments))
  const found = observeScales({ values: cut, rows, cols }, scheme)
  const rounder = createRounder(scheme)
  let error = 0
  for (let row = 0; row < rows; row++) {
    const differences = Float32Array.from({ length: cols }, (_, col) => {
      const place = row * (cols / width) + Math.floor(col / width)
      const scaled = Float32Array.of(values[row * cols + col]! * factors[col]!)
      const zeros = found.zeros && found.zeros.subarray(place, place + 1)
      rounder.roundColumn(scaled, { scales: found.values.subarray(place, place + 1), zeros }, new Uint8Array(1))
      return -scaled[0]! / factors[col]!
    })
    for (let token = 0; token < tokens; token++) {
      let output = 0
      for (let col = 0; col < cols; col++) output += differences[col]! * inputs[token * cols + col]!
      error += output ** 2
    }
  }
  return error
}

const cases = [
  { options: { bits: 4, groupSize: 'channel' }, cols: 160, repeat: 1 },
  { options: { bits: 4, groupSize: 'channel', isSymmetric: false }, cols: 64, repeat: 1 },
  { options: { bits: 3, groupSize: 16 }, cols: 64, repeat: 1 },
  { options: { bits: 4, groupSize: 'channel' }, cols: 192, repeat: 3 },
  { options: { bits: 4, groupSize: 'channel', type: 'float' }, cols: 64, repeat: 2 },
] as const

describe.each(cases)('scales of %o', ({ options, cols, repeat }) => {
  const scheme = resolveScheme(options)
  const inputs = solverInput({ tokens, cols, seed: 3, dead: true })
  const sums = momentsOf(inputs, cols)
  const readers = [12, 7].map((rows, i) => ({ matrix: solverWeight(rows, cols, 11 + i), scheme }))
  // As query heads of 8 features that share heads of values.
  const channelOf = Int32Array.from(
    { length: cols },
    (_, col) => Math.floor(Math.floor(col / 8) / repeat) * 8 + (col % 8),
  )
  const errorOf = (scales: Float32Array): number =>
    readers.reduce((sum, { matrix }) => {
      const factors = Float32Array.from(channelOf, (channel) => scales[channel]!)
      return sum + outputError(matrix, { scheme, inputs, sums, factors })
    }, 0)

  it('have the error that is said of all readers, and it is less', async () => {
    const { scales, firstError, error } = await descendScales(readers, { sums, channelOf, sweeps: 1 })
    expect(scales).toHaveLength(cols / repeat)
    const [before, after] = [errorOf(new Float32Array(scales.length).fill(1)), errorOf(scales)]
    expect(error / firstError).toBeLessThan(0.95)
    expect(after / before / (error / firstError)).toBeCloseTo(1, 3)
  })

  it('are the same each time', async () => {
    const run = (): Promise<unknown> => descendScales(readers, { sums, channelOf, sweeps: 2 })
    expect(await run()).toEqual(await run())
  })

  it('stay where nothing is read', async () => {
    const none = new Float64Array(cols * cols)
    const { scales, error } = await descendScales(readers, { sums: none, channelOf, sweeps: 1 })
    expect(scales.every((scale) => scale === 1)).toBe(true)
    expect(error).toBe(0)
  })
})
