import { rowBytes, weightFormats } from '@octavo/core/backend'
import type { WeightFormat } from '@octavo/core/backend'
import { afterAll, describe, expect, it } from 'vitest'
import {
  fusedMultiplyAdd,
  quantizedFormats,
  randomInts,
  randomWeight,
  roundToEven,
  scaleOffsets,
} from './quantized-weight.case.ts'
import type { TakenApart } from './quantized-weight.case.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

/** The arithmetic that `linear_quant.h` states, done plainly. */
function plainLinear(
  x: Float32Array,
  weight: TakenApart,
  options: { rows: number; cols: number; format: WeightFormat },
): Float32Array {
  const { rows, cols, format } = options
  const n = x.length / cols
  const y = new Float32Array(n * rows)
  const isHalved = format === 'q6_k'
  const hasMin = scaleOffsets(format).min !== null
  for (let i = 0; i < n; i++) {
    for (let start = 0; start < cols; start += 32) {
      const block = x.subarray(i * cols + start, i * cols + start + 32)
      const largest = block.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      const scale = Math.fround(largest / 127)
      const inverse = Math.fround(127 / largest)
      const codes = Array.from(block, (value) => roundToEven(Math.fround(value * inverse)))
      const scaledSum = Math.fround(scale * codes.reduce((a, b) => a + b, 0))
      for (let row = 0; row < rows; row++) {
        const at = row * cols + start
        const dot = (from: number, to: number): number =>
          codes.slice(from, to).reduce((sum, code, k) => sum + code * weight.codes[at + from + k]!, 0)
        let acc = y[i * rows + row]!
        for (const part of isHalved ? [0, 1] : [0]) {
          const product = isHalved ? dot(16 * part, 16 * part + 16) : dot(0, 32)
          acc = fusedMultiplyAdd(product, Math.fround(weight.scales[at / 16 + part]! * scale), acc)
        }
        if (hasMin) acc = fusedMultiplyAdd(scaledSum, weight.mins[at / 16]!, acc)
        y[i * rows + row] = acc
      }
    }
  }
  return y
}

/** The arithmetic that `linear_wide.h` states, done plainly. */
function plainWideLinear(
  x: Float32Array,
  weight: TakenApart,
  options: { rows: number; cols: number; format: WeightFormat },
): Float32Array {
  const { rows, cols, format } = options
  const n = x.length / cols
  const y = new Float32Array(n * rows)
  const fixed = Array.from({ length: rows }, (_, row) => fixedPointRow(weight, row, { cols, format }))
  for (let i = 0; i < n; i++) {
    for (let start = 0; start < cols; start += 256) {
      const chunk = x.subarray(i * cols + start, i * cols + Math.min(cols, start + 256))
      const largest = chunk.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      const inverse = Math.fround(127 / largest)
      const codes = Array.from(chunk, (value) => roundToEven(Math.fround(value * inverse)))
      for (let row = 0; row < rows; row++) {
        const dot = codes.reduce((sum, code, k) => sum + code * fixed[row]!.values[start + k]!, 0)
        const at = i * rows + row
        y[at] = fusedMultiplyAdd(Math.fround(dot), Math.fround(largest / 127), y[at]!)
      }
    }
  }
  return y.map((value, at) => value * fixed[at % rows]!.unit)
}

/** A row's weights as multiples of one unit. */
function fixedPointRow(
  weight: TakenApart,
  row: number,
  { cols, format }: { cols: number; format: WeightFormat },
): { unit: number; values: number[] } {
  const hasMin = scaleOffsets(format).min !== null
  const bits = { q8_0: 8, q4_0: 4, q4_1: 4, q5_0: 5, q5_1: 5, q4_k: 4, q5_k: 5, q6_k: 6 }[format as 'q8_0']
  const shift = (hasMin ? 15 : 16) - bits
  const codeBound = 2 ** (15 - shift)
  const parts = Array.from({ length: cols / 16 }, (_, i) => (row * cols) / 16 + i)
  const largest = parts.reduce((max, at) => {
    const bound = Math.fround(Math.abs(weight.scales[at]!) * codeBound)
    return Math.max(max, hasMin ? Math.fround(bound + Math.abs(weight.mins[at]!)) : bound)
  }, 0)
  const inverse = Math.fround(32512 / largest)
  const values = Array.from({ length: cols }, (_, k) => {
    const at = parts[k >> 4]!
    const m = roundToEven(Math.fround(weight.scales[at]! * Math.fround(inverse * codeBound)))
    const min = hasMin ? roundToEven(Math.fround(weight.mins[at]! * inverse)) : 0
    return Math.floor((weight.codes[row * cols + k]! * 2 ** shift * m + 2 ** 14) / 2 ** 15) + min
  })
  return { unit: Math.fround(largest / 32512), values }
}

describe.skipIf(testedAddon === null)('a quantized weight times activations in int8', () => {
  if (testedAddon === null) return
  const addon = testedAddon
  const pool = new addon.Pool(2)
  afterAll(() => pool.dispose())

  describe.each(quantizedFormats)('%s', (format) => {
    // More than 256 columns and no multiple of 64.
    const cols = weightFormats[format].blockElements * (weightFormats[format].blockElements === 32 ? 11 : 3)
    const rows = 37
    const weight = randomWeight(pool, format, [rows, cols])
    const random = randomInts(7)
    const x = Float32Array.from({ length: 41 * cols }, () => (random(20001) - 10000) / 7000)
    const expected = {
      int8: plainLinear(x, weight, { rows, cols, format }),
      'int8-wide': plainWideLinear(x, weight, { rows, cols, format }),
    }

    it.each(testedIsas.flatMap((isa) => (['int8', 'int8-wide'] as const).map((activations) => ({ isa, activations }))))(
      'has the bits of plain arithmetic on $isa, $activations',
      ({ isa, activations }) => {
        addon.setIsa(isa)
        const matrix = pool.createMatrix(format, rows, cols, weight.bytes, activations)
        for (const n of [1, 2, 8, 9, 16, 41]) {
          const y = new Float32Array(n * rows)
          pool.linear(matrix, y, x.subarray(0, n * cols), n, null)
          expect(y, `${n} rows`).toEqual(expected[activations].subarray(0, n * rows))
        }
        matrix.dispose()
      },
    )

    it('takes at most 5 % more memory than stored', () => {
      const [tall, wide] = [64, weightFormats[format].blockElements * 8]
      const bytes = new Uint8Array(tall * rowBytes(format, wide))
      const matrix = pool.createMatrix(format, tall, wide, bytes, 'int8')
      expect(matrix.bytes).toBeLessThanOrEqual(1.05 * bytes.length)
      matrix.dispose()
    })
  })
})

if (skipReason !== null) it.skip(`quantized weights: ${skipReason}`, () => {})
