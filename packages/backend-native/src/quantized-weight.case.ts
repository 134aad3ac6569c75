import { allWeightFormats, isDense, rowBytes, weightFormats } from '@octavo/core/backend'
import type { WeightFormat } from '@octavo/core/backend'
import type { NativePool } from './native-addon.ts'

/** Weights whose parts are known apart from each other; value = code * scale + min, scale and min per 16 elements. */
export interface TakenApart {
  readonly bytes: Uint8Array
  readonly codes: Float32Array
  readonly scales: Float32Array
  readonly mins: Float32Array
}

export const quantizedFormats = allWeightFormats.filter((format) => !isDense(format))

export function randomInts(seed: number): (below: number) => number {
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
export function scaleOffsets(format: WeightFormat): { scale: number; min: number | null } {
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

export function randomWeight(
  pool: NativePool,
  format: WeightFormat,
  [rows, cols]: readonly [number, number],
): TakenApart {
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
  const matrix = pool.createMatrix(format, rows, cols, plain, 'int8')
  for (let row = 0; row < rows; row++) matrix.readRow(row, codes.subarray(row * cols, (row + 1) * cols))
  matrix.dispose()
  return { bytes, codes, scales, mins }
}

const scratch = new Float64Array(1)
const scratchBits = new BigInt64Array(scratch.buffer)

/** float32(a * b + c), rounded once; a * b must be exact in float64. */
export function fusedMultiplyAdd(a: number, b: number, c: number): number {
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

export function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}
