import { RandomData } from '@octavo/core/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Isa, NativeAddon, NativeMatrix, NativePool } from './native-addon.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

/** In the order of the addon's format numbers. */
const formats = ['float32', 'float16', 'bfloat16'] as const
type Format = (typeof formats)[number]

/** As the format stores them, cut rather than rounded. */
function encode(format: Format, values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (format === 'float32') return new Uint8Array(values.slice().buffer)
  if (format === 'bfloat16') return new Uint8Array(Uint16Array.from(bits, (value) => value >>> 16).buffer)
  return new Uint8Array(Uint16Array.from(bits, halfBits).buffer)
}

/** A float32's bits cut to a half; what is below 2^-14 becomes zero. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = (bits >>> 23) & 0xff
  if (exponent === 0xff) return sign | 0x7c00 | ((bits >>> 13) & 0x3ff)
  return exponent < 113 ? sign : sign | ((exponent - 112) << 10) | ((bits >>> 13) & 0x3ff)
}

interface Values {
  readonly rows: number
  readonly cols: number
  readonly values: Float32Array
}

class Case {
  readonly pool: NativePool
  readonly matrix: NativeMatrix
  /** The stored values, `[rows, cols]`. */
  readonly weight: Float32Array
  readonly rows: number
  readonly cols: number

  constructor(pool: NativePool, format: Format, { rows, cols, values }: Values) {
    this.rows = rows
    this.cols = cols
    this.pool = pool
    this.matrix = pool.createMatrix(format, rows, cols, encode(format, values), 'float32')
    this.weight = new Float32Array(this.rows * this.cols)
    for (let row = 0; row < this.rows; row++) {
      this.matrix.readRow(row, this.weight.subarray(row * this.cols, (row + 1) * this.cols))
    }
  }

  run(x: Float32Array, bias: Float32Array | null, pool = this.pool): Float32Array {
    const y = new Float32Array((x.length / this.cols) * this.rows).fill(NaN)
    pool.linear(this.matrix, y, x, x.length / this.cols, bias)
    return y
  }

  /** The same in float64. */
  expected(x: Float32Array, bias: Float32Array | null): Float64Array {
    const { rows, cols, weight } = this
    const y = new Float64Array((x.length / cols) * rows)
    for (let i = 0; i < y.length; i++) {
      const [token, row] = [Math.floor(i / rows), i % rows]
      let sum = bias === null ? 0 : bias[row]!
      for (let k = 0; k < cols; k++) sum += x[token * cols + k]! * weight[row * cols + k]!
      y[i] = sum
    }
    return y
  }
}

function largestError(actual: Float32Array, expected: Float64Array): number {
  let [error, largest] = [0, 0]
  for (let i = 0; i < actual.length; i++) {
    error = Math.max(error, Math.abs(actual[i]! - expected[i]!))
    largest = Math.max(largest, Math.abs(expected[i]!))
  }
  return error / largest
}

const combinations = testedIsas.flatMap((isa) => formats.map((format): [Isa, Format] => [isa, format]))

const addon = testedAddon
if (addon !== null) {
  describe.each(combinations)('dense weights on %s: %s', (isa, format) => describeDense(addon, isa, format))
}
if (skipReason !== null) it.skip(`dense weights: ${skipReason}`, () => {})

function describeDense(native: NativeAddon, isa: Isa, format: Format): void {
  const before = native.isa()
  const pool = new native.Pool(2)
  const pools = [pool, new native.Pool(1), new native.Pool(4)]
  const matrices: NativeMatrix[] = []
  const make = (values: Values): Case => {
    const made = new Case(pool, format, values)
    matrices.push(made.matrix)
    return made
  }
  beforeAll(() => void native.setIsa(isa))
  afterEach(() => matrices.splice(0).forEach((matrix) => matrix.dispose()))
  afterAll(() => {
    native.setIsa(before)
    pools.forEach((each) => each.dispose())
  })

  it.each([
    [1, 1],
    [3, 17],
    [17, 3],
    [33, 257],
    [64, 1000],
    [1000, 31],
  ] as const)('[%i, %i] agrees with float64', (rows, cols) => {
    const random = new RandomData(rows)
    const sut = make({ rows, cols, values: random.floats(rows * cols) })
    for (const n of [1, 2, 13, 33]) {
      const [x, bias] = [random.floats(n * cols), random.floats(rows)]
      // Trained models have activations hundreds of times as large as the rest.
      x[(n * cols) >> 1]! *= 300
      expect(largestError(sut.run(x, bias), sut.expected(x, bias)), `n = ${n}`).toBeLessThan(1e-5)
      expect(largestError(sut.run(x, null), sut.expected(x, null)), `n = ${n}`).toBeLessThan(1e-5)
    }
  })

  it('gives a row the same bits in any batch and with any number of threads', () => {
    const random = new RandomData(5)
    const [rows, cols, n] = [75, 1030, 200]
    const sut = make({ rows, cols, values: random.floats(rows * cols) })
    const [x, bias] = [random.floats(n * cols), random.floats(rows)]
    const whole = sut.run(x, bias)
    for (const each of pools) {
      for (const size of [1, 5, 12, 13, 16, 17, 32, 47, 70, 200]) {
        for (let first = 0; first < n; first += size) {
          const last = Math.min(n, first + size)
          const part = sut.run(x.subarray(first * cols, last * cols), bias, each)
          expect(part).toEqual(whole.subarray(first * rows, last * rows))
        }
      }
    }
  })

  it.each([Infinity, -Infinity, NaN])('passes %f on from activations and weights, and to nobody else', (special) => {
    const random = new RandomData(6)
    const [rows, cols, n] = [35, 77, 19]
    const values = random.floats(rows * cols)
    const x = random.floats(n * cols)
    const clean = make({ rows, cols, values }).run(x, null)
    const spoiltX = x.slice()
    spoiltX[3 * cols + 70] = special
    const fromX = make({ rows, cols, values }).run(spoiltX, null)
    values[2 * cols + 76] = special
    const fromWeight = make({ rows, cols, values }).run(x, null)
    for (let i = 0; i < n * rows; i++) {
      const [token, row] = [Math.floor(i / rows), i % rows]
      if (token !== 3) expect(fromX[i]).toBe(clean[i])
      // On tiles a half is two parts, and an infinity times a part that is zero is no number.
      else if (isa === 'amx' && format === 'float16') expect(fromX[i]).not.toSatisfy(Number.isFinite)
      else expect(fromX[i]).toBe(special * Math.sign(values[row * cols + 70]!))
      if (row === 2) expect(fromWeight[i]).toBe(special * Math.sign(x[token * cols + 76]!))
      else expect(Math.abs(fromWeight[i]! - clean[i]!)).toBeLessThan(1e-4)
    }
  })
}
