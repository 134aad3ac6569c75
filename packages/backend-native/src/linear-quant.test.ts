import { allWeightFormats, isDense, rowBytes, weightFormats } from '@octavo/core/backend'
import type { WeightFormat } from '@octavo/core/backend'
import { afterAll, describe, expect, it } from 'vitest'
import type { NativePool } from './native-addon.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

/** Weights whose parts are known apart from each other; value = code * scale + min, scale and min per 16 elements. */
interface TakenApart {
  readonly bytes: Uint8Array
  readonly codes: Float32Array
  readonly scales: Float32Array
  readonly mins: Float32Array
}

const formats = allWeightFormats.filter((format) => !isDense(format))
const int8Activations = 1

/** In the order of `Format` in native/matrix.h. */
const formatNumbers: Readonly<Record<WeightFormat, number>> = {
  float32: 0,
  float16: 1,
  bfloat16: 2,
  q8_0: 3,
  q4_0: 4,
  q4_1: 5,
  q5_0: 6,
  q5_1: 7,
  q4_k: 8,
  q5_k: 9,
  q6_k: 10,
}

function randomInts(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** A float16 between 2^-9 and 2^-7 of either sign: its 16 bits and its value. */
function randomScale(random: (below: number) => number): { bits: number; value: number } {
  const [sign, exponent, mantissa] = [random(2), 6 + random(2), random(1024)]
  return {
    bits: (sign << 15) | (exponent << 10) | mantissa,
    value: (1 - 2 * sign) * (1024 + mantissa) * 2 ** (exponent - 25),
  }
}

/** Where a stored block keeps its float16 scale, and its float16 minimum if it has one. */
function scaleOffsets(format: WeightFormat): { scale: number; min: number | null } {
  if (format === 'q6_k') return { scale: 208, min: null }
  return { scale: 0, min: ['q4_1', 'q5_1', 'q4_k', 'q5_k'].includes(format) ? 2 : null }
}

function putUint16(bytes: Uint8Array, at: number, bits: number): void {
  bytes[at] = bits
  bytes[at + 1] = bits >>> 8
}

/** Eight scales and minima below 16 in the twelve bytes of q4_k and q5_k. */
function putSubScales(bytes: Uint8Array, at: number, scales: readonly number[], mins: readonly number[]): void {
  for (let j = 0; j < 4; j++) {
    bytes[at + j] = scales[j]!
    bytes[at + 4 + j] = mins[j]!
    bytes[at + 8 + j] = scales[4 + j]! | (mins[4 + j]! << 4)
  }
}

function randomWeight(pool: NativePool, format: WeightFormat, [rows, cols]: readonly [number, number]): TakenApart {
  const random = randomInts(rows * cols)
  const { blockElements, blockBytes } = weightFormats[format]
  const bytes = Uint8Array.from({ length: rows * rowBytes(format, cols) }, () => random(256))
  const plain = bytes.slice()
  const scales = new Float32Array((rows * cols) / 16)
  const mins = new Float32Array((rows * cols) / 16)
  const offsets = scaleOffsets(format)
  for (let block = 0; block * blockElements < rows * cols; block++) {
    const at = block * blockBytes
    const [d, m] = [randomScale(random), randomScale(random)]
    putUint16(bytes, at + offsets.scale, d.bits)
    putUint16(plain, at + offsets.scale, 0x3c00) // one
    if (offsets.min !== null) {
      putUint16(bytes, at + offsets.min, m.bits)
      putUint16(plain, at + offsets.min, 0)
    }
    const subScales = Array.from({ length: 16 }, (): number => 1)
    const subMins = Array.from({ length: 16 }, (): number => (offsets.min === null ? 0 : 1))
    if (format === 'q4_k' || format === 'q5_k') {
      const pairs = Array.from({ length: 8 }, () => [random(16), random(16)] as const)
      const ones = pairs.map(() => 1)
      const [scalesOfPairs, minsOfPairs] = [pairs.map(([scale]) => scale), pairs.map(([, min]) => min)]
      putSubScales(bytes, at + 4, scalesOfPairs, minsOfPairs)
      putSubScales(plain, at + 4, ones, ones)
      for (let i = 0; i < 16; i++) [subScales[i], subMins[i]] = [pairs[i >> 1]![0], -pairs[i >> 1]![1]]
    }
    if (format === 'q6_k') {
      for (let i = 0; i < 16; i++) subScales[i] = (bytes[at + 192 + i]! << 24) >> 24
      plain.fill(1, at + 192, at + 208)
    }
    for (let i = 0; i < blockElements / 16; i++) {
      scales[(block * blockElements) / 16 + i] = d.value * subScales[i]!
      mins[(block * blockElements) / 16 + i] = m.value * subMins[i]!
    }
  }
  const codes = new Float32Array(rows * cols)
  const matrix = pool.createMatrix(formatNumbers[format], rows, cols, plain, int8Activations)
  for (let row = 0; row < rows; row++) matrix.readRow(row, codes.subarray(row * cols, (row + 1) * cols))
  matrix.dispose()
  return { bytes, codes, scales, mins }
}

const scratch = new Float64Array(1)
const scratchBits = new BigInt64Array(scratch.buffer)

/** float32(a * b + c), rounded once; a * b must be exact in float64. */
function fusedMultiplyAdd(a: number, b: number, c: number): number {
  const product = a * b
  const sum = product + c
  const shadow = sum - product
  const error = product - (sum - shadow) + (c - shadow)
  if (error === 0) return Math.fround(sum)
  // To odd, so that the second rounding cannot see a tie that is none.
  scratch[0] = sum
  if ((scratchBits[0]! & 1n) === 0n) scratchBits[0]! += error > 0 === sum > 0 ? 1n : -1n
  return Math.fround(scratch[0]!)
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

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

describe.skipIf(testedAddon === null)('a quantized weight times activations in int8', () => {
  if (testedAddon === null) return
  const addon = testedAddon
  const pool = new addon.Pool(2)
  afterAll(() => pool.dispose())

  describe.each(formats)('%s', (format) => {
    const cols = weightFormats[format].blockElements * 3
    const rows = 37
    const weight = randomWeight(pool, format, [rows, cols])
    const random = randomInts(7)
    const x = Float32Array.from({ length: 41 * cols }, () => (random(20001) - 10000) / 7000)
    const expected = plainLinear(x, weight, { rows, cols, format })

    it.each(testedIsas)('has the bits of plain arithmetic on %s', (isa) => {
      addon.setIsa(isa)
      const matrix = pool.createMatrix(formatNumbers[format], rows, cols, weight.bytes, int8Activations)
      for (const n of [1, 2, 8, 9, 16, 41]) {
        const y = new Float32Array(n * rows)
        pool.linear(matrix, y, x.subarray(0, n * cols), n, null)
        expect(y, `${n} rows`).toEqual(expected.subarray(0, n * rows))
      }
      matrix.dispose()
    })

    it('takes at most 5 % more memory than stored', () => {
      const [tall, wide] = [64, weightFormats[format].blockElements * 8]
      const bytes = new Uint8Array(tall * rowBytes(format, wide))
      const matrix = pool.createMatrix(formatNumbers[format], tall, wide, bytes, int8Activations)
      expect(matrix.bytes).toBeLessThanOrEqual(1.05 * bytes.length)
      matrix.dispose()
    })
  })
})

if (skipReason !== null) it.skip(`quantized weights: ${skipReason}`, () => {})
