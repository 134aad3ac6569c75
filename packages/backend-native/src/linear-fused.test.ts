import { allWeightFormats, isDense } from '@octavo/core/backend'
import type { WeightFormat } from '@octavo/core/backend'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ActivationFormat, Isa, NativeAddon, NativeMatrix, NativePool } from './native-addon.ts'
import { randomInts, randomWeight } from './quantized-weight.case.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

// Panels enough that one thread takes all tokens of some at once, while four split the tokens; the last part is no whole
// panel. More tokens than are gated at a time, and more columns than one block of any kernel holds.
const widths = [64, 32, 13]
const features = 96
const tokens = [1, 2, 7, 17, 301]
const kinds = ['silu', 'gelu', 'gelu_tanh', 'swiglu_oss'] as const
const columnsOf = (format: WeightFormat): number => (isDense(format) ? 1280 : 512)

const random = randomInts(11)
const randomFloats = (length: number): Float32Array =>
  Float32Array.from({ length }, () => (random(20001) - 10000) / 5000)

const x = randomFloats(Math.max(...tokens) * 1280)

/** As stored: random codes, or values that every dense format holds exactly. */
function storedBytes(pool: NativePool, format: WeightFormat, rows: number): Uint8Array {
  const cols = columnsOf(format)
  if (!isDense(format)) return randomWeight(pool, format, [rows, cols]).bytes
  const values = Float32Array.from({ length: rows * cols }, () => (random(255) - 127) / 1024)
  if (format === 'float32') return new Uint8Array(values.buffer)
  const halves =
    format === 'bfloat16'
      ? Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16)
      : new Uint16Array(Float16Array.from(values).buffer)
  return new Uint8Array(halves.buffer)
}

const activationsOf = (format: WeightFormat): readonly ActivationFormat[] =>
  isDense(format) ? ['float32'] : ['float32', 'int8', 'int8-wide']

if (testedAddon !== null) {
  const addon = testedAddon
  describe.each(testedIsas)('on %s', (isa) => {
    describe.each(allWeightFormats)('%s', (format) => describeProducts(addon, isa, format))
  })
}
if (skipReason !== null) it.skip(`fused products: ${skipReason}`, () => {})

function describeProducts(addon: NativeAddon, isa: Isa, format: WeightFormat): void {
  const before = addon.isa()
  const cols = columnsOf(format)
  const pool = new addon.Pool(2)
  const pools = [new addon.Pool(1), new addon.Pool(4)]
  beforeAll(() => void addon.setIsa(isa))
  afterAll(() => {
    addon.setIsa(before)
    for (const each of [pool, ...pools]) each.dispose()
  })

  function forEachProduct(
    rows: number,
    run: (matrix: NativeMatrix, n: number, call: { rows: Float32Array; bias: Float32Array | null }) => void,
  ): void {
    const bytes = storedBytes(pool, format, rows)
    const bias = randomFloats(rows)
    for (const activations of activationsOf(format)) {
      const matrix = pool.createMatrix(format, rows, cols, bytes, activations)
      for (const n of tokens) run(matrix, n, { rows: x.subarray(0, n * cols), bias: n % 2 === 0 ? null : bias })
      matrix.dispose()
    }
  }

  it('gatedLinear has the bits of linear and gatedActivation', () => {
    forEachProduct(2 * features, (matrix, n, { rows, bias }) => {
      const kind = kinds[n % 4]!
      const gateUp = new Float32Array(n * 2 * features)
      pool.linear(matrix, gateUp, rows, n, bias)
      const expected = new Float32Array(n * features)
      pool.gatedActivation(expected, gateUp, kind, n, features)
      for (const each of pools) {
        const y = new Float32Array(n * features).fill(NaN)
        each.gatedLinear(matrix, y, rows, n, bias, kind)
        expect(Buffer.from(y.buffer).equals(Buffer.from(expected.buffer)), `${n} rows`).toBe(true)
      }
    })
  })

  it('linearParts have the bits of the columns of linear', () => {
    const total = widths.reduce((sum, width) => sum + width, 0)
    forEachProduct(total, (matrix, n, { rows, bias }) => {
      const whole = new Float32Array(n * total)
      pool.linear(matrix, whole, rows, n, bias)
      const expected = widths.map((width) => new Float32Array(n * width))
      let first = 0
      for (const part of expected) {
        const width = part.length / n
        pool.copyColumns(part, whole, n, total, first, width)
        first += width
      }
      for (const each of pools) {
        const parts = widths.map((width) => new Float32Array(n * width).fill(NaN))
        each.linearParts(matrix, Int32Array.from(widths), rows, n, bias, ...parts)
        parts.forEach((part, i) => {
          const isSame = Buffer.from(part.buffer).equals(Buffer.from(expected[i]!.buffer))
          expect(isSame, `${n} rows, part ${i}`).toBe(true)
        })
      }
    })
  })

  it('refuses halves and parts that are no whole panels, and parts that are not all rows', () => {
    const rows = 104
    const matrix = pool.createMatrix(format, rows, cols, storedBytes(pool, format, rows), 'float32')
    const half = matrix.panelRows / 2
    const parts = (...counts: number[]): void =>
      pool.linearParts(matrix, Int32Array.from(counts), x.subarray(0, cols), 1, null, ...counts.map(floats))
    const floats = (length: number): Float32Array => new Float32Array(Math.max(0, length))
    expect(() => parts(half, rows - half)).toThrow('not whole panels')
    expect(() => parts(matrix.panelRows, 5)).toThrow('do not add up')
    expect(() => parts(-1, rows + 1)).toThrow('less than no width')
    expect(() => parts(rows)).not.toThrow()
    if (half > 4) {
      const y = new Float32Array(rows / 2)
      expect(() => pool.gatedLinear(matrix, y, x.subarray(0, cols), 1, null, 'silu')).toThrow('not whole panels')
    }
    matrix.dispose()
  })
}
