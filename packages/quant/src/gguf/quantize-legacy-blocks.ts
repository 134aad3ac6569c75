import { float16ToFloat32, float32ToFloat16 } from '@octavo/core/quantization'
import { searchAffine, searchSymmetric, type AffineScale, type WeightedValues } from './scale-search.ts'

/** Writes a block of `source` at `out[at …]`. Layouts: core's `tensor/dequantize-blocks.ts`. */
export type QuantizeBlock = (source: WeightedValues, out: Uint8Array, at: number) => void

const size = 32
const codes = new Uint8Array(size)
const affine: AffineScale = { scale: 0, min: 0 }

export function quantizeQ80({ values }: WeightedValues, out: Uint8Array, at: number): void {
  let largest = 0
  for (let i = 0; i < size; i++) largest = Math.max(largest, Math.abs(values[i]!))
  const d = writeFloat16(out, at, largest / 127)
  const inverse = d === 0 ? 0 : 1 / d
  for (let i = 0; i < size; i++) out[at + 2 + i] = Math.max(-127, Math.min(127, Math.round(values[i]! * inverse)))
}

export function quantizeQ40(source: WeightedValues, out: Uint8Array, at: number): void {
  roundSymmetric(source, 8, writeFloat16(out, at, symmetricScale(source, 8)))
  packNibbles(out, at + 2)
}

export function quantizeQ41(source: WeightedValues, out: Uint8Array, at: number): void {
  roundAffine(source, 15, out, at)
  packNibbles(out, at + 4)
}

export function quantizeQ50(source: WeightedValues, out: Uint8Array, at: number): void {
  roundSymmetric(source, 16, writeFloat16(out, at, symmetricScale(source, 16)))
  packFifthBits(out, at + 2)
  packNibbles(out, at + 6)
}

export function quantizeQ51(source: WeightedValues, out: Uint8Array, at: number): void {
  roundAffine(source, 31, out, at)
  packFifthBits(out, at + 4)
  packNibbles(out, at + 8)
}

function symmetricScale(source: WeightedValues, limit: number): number {
  return searchSymmetric(source, { start: 0, size, limit, numSteps: 14, maxStretch: limit / 8 })
}

function roundSymmetric({ values }: WeightedValues, limit: number, d: number): void {
  const inverse = d === 0 ? 0 : 1 / d
  for (let i = 0; i < size; i++)
    codes[i] = Math.max(0, Math.min(2 * limit - 1, Math.round(values[i]! * inverse) + limit))
}

/** Scale and minimum as float16 at `out[at …]`, then the codes that suit these. */
function roundAffine(source: WeightedValues, maxCode: number, out: Uint8Array, at: number): void {
  searchAffine(
    source,
    { start: 0, size, maxCode, isMinNegative: false, numSteps: 14, maxStretch: maxCode / 15 },
    affine,
  )
  const d = writeFloat16(out, at, affine.scale)
  const m = writeFloat16(out, at + 2, affine.min)
  const inverse = d === 0 ? 0 : 1 / d
  for (let i = 0; i < size; i++)
    codes[i] = Math.max(0, Math.min(maxCode, Math.round((source.values[i]! - m) * inverse)))
}

/** The value as it is stored; beyond float16's range, the largest. */
export function writeFloat16(out: Uint8Array, at: number, value: number): number {
  const bits = float32ToFloat16(Math.max(-65504, Math.min(65504, value)))
  out[at] = bits
  out[at + 1] = bits >>> 8
  return float16ToFloat32(bits)
}

/** Elements 0 … 15 in the low nibbles, 16 … 31 in the high ones. */
function packNibbles(out: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) out[at + i] = (codes[i]! & 15) | ((codes[16 + i]! & 15) << 4)
}

function packFifthBits(out: Uint8Array, at: number): void {
  for (let byte = 0; byte < 4; byte++) {
    let bits = 0
    for (let i = 0; i < 8; i++) bits |= (codes[8 * byte + i]! >>> 4) << i
    out[at + byte] = bits
  }
}
