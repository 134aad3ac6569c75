import { assert } from '../util/assert.ts'
import { rowBytes, type DType, type WeightFormat } from './dtype.ts'

/**
 * Stored weights ↔ float32. The block layouts and their arithmetic are ggml's (`ggml-quants.c`, `dequantize_row_*`).
 *
 * NOTE: plain JS arithmetic gives ggml's float32 results bit for bit: every float16 scale is a multiple of 2^-24, so scale × codes
 * and the sum or difference with the minimum are exact in float64, and ggml's own intermediate products are exact in float32; both round
 * once, at the store.
 */

let float16Values: Float32Array | null = null

/** Every float16 as float32, indexed by its 16 bits: 256 KiB, built on first use, read-only. */
export function float16Table(): Float32Array {
  if (float16Values !== null) return float16Values
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) table[bits] = float16ToFloat32(bits)
  float16Values = table
  return table
}

export function float16ToFloat32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

const scratchFloat = new Float32Array(1)
const scratchBits = new Uint32Array(scratchFloat.buffer)

/** Rounds to nearest, ties to even; beyond 65504 (after rounding) gives infinity. Returns the 16 bits. */
export function float32ToFloat16(value: number): number {
  scratchFloat[0] = value
  const bits = scratchBits[0]!
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 255) - 112
  const mantissa = bits & 0x7fffff
  if (exponent === 143) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200 | (mantissa >>> 13))
  if (exponent >= 31) return sign | 0x7c00
  if (exponent < -10) return sign
  const isSubnormal = exponent <= 0
  const significand = isSubnormal ? mantissa | 0x800000 : mantissa
  const shift = isSubnormal ? 14 - exponent : 13
  const truncated = (isSubnormal ? 0 : exponent << 10) | (significand >>> shift)
  const rest = significand & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  // A carry out of the mantissa moves into the exponent, which is exactly the next float16.
  return sign | (truncated + (rest > half || (rest === half && (truncated & 1) === 1) ? 1 : 0))
}

/** Rounds to nearest, ties to even; NaN stays NaN. Returns the 16 bits. */
export function float32ToBfloat16(value: number): number {
  scratchFloat[0] = value
  const bits = scratchBits[0]!
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/**
 * Widens one row of `cols` elements, stored at `bytes[byteOffset …]`, into `out[0 … cols)`. `cols` must be a multiple of the
 * format's block; no alignment is asked of `byteOffset`.
 */
export function dequantizeRow(
  format: WeightFormat,
  bytes: Uint8Array,
  byteOffset: number,
  out: Float32Array,
  cols: number,
): void {
  assert(
    byteOffset + rowBytes(format, cols) <= bytes.length,
    `a ${format} row of ${cols} at byte ${byteOffset} ends behind its ${bytes.length} bytes`,
  )
  assert(out.length >= cols, `a row of ${cols} does not fit ${out.length} floats`)
  switch (format) {
    case 'float32':
      return widenFloat32(bytes, byteOffset, out, cols)
    case 'float16':
      return widenFloat16(bytes, byteOffset, out, cols)
    case 'bfloat16':
      return widenBfloat16(bytes, byteOffset, out, cols)
    case 'q8_0':
      return dequantizeQ80(bytes, byteOffset, out, cols)
    case 'q4_0':
      return dequantizeQ40(bytes, byteOffset, out, cols)
    case 'q4_1':
      return dequantizeQ41(bytes, byteOffset, out, cols)
    case 'q5_0':
      return dequantizeQ50(bytes, byteOffset, out, cols)
    case 'q5_1':
      return dequantizeQ51(bytes, byteOffset, out, cols)
    case 'q4_k':
      return dequantizeQ4K(bytes, byteOffset, out, cols)
    case 'q5_k':
      return dequantizeQ5K(bytes, byteOffset, out, cols)
    case 'q6_k':
      return dequantizeQ6K(bytes, byteOffset, out, cols)
  }
}

/** Narrows `values` to `dtype` and writes them little-endian at `out[byteOffset …]`. */
export function encodeRow(dtype: DType, values: Float32Array, out: Uint8Array, byteOffset: number): void {
  assert(byteOffset + rowBytes(dtype, values.length) <= out.length, 'encodeRow: the output is too short')
  if (dtype === 'float32') {
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), byteOffset)
    return
  }
  const encode = dtype === 'float16' ? float32ToFloat16 : float32ToBfloat16
  for (let i = 0; i < values.length; i++) {
    const bits = encode(values[i]!)
    out[byteOffset + 2 * i] = bits
    out[byteOffset + 2 * i + 1] = bits >>> 8
  }
}

function widenFloat32(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  new Uint8Array(out.buffer, out.byteOffset, cols * 4).set(bytes.subarray(offset, offset + cols * 4))
}

function widenFloat16(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  for (let i = 0; i < cols; i++) out[i] = table[bytes[offset + 2 * i]! | (bytes[offset + 2 * i + 1]! << 8)]!
}

function widenBfloat16(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, cols)
  for (let i = 0; i < cols; i++) bits[i] = (bytes[offset + 2 * i]! << 16) | (bytes[offset + 2 * i + 1]! << 24)
}

/** Block: d f16, 32 × int8. */
function dequantizeQ80(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 32, at += 34) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    for (let i = 0; i < 32; i++) out[base + i] = ((bytes[at + 2 + i]! << 24) >> 24) * d
  }
}

/** Block: d f16, 16 bytes: elements 0..15 in the low nibbles, 16..31 in the high ones, each code minus 8. */
function dequantizeQ40(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 32, at += 18) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    for (let i = 0; i < 16; i++) {
      const code = bytes[at + 2 + i]!
      out[base + i] = ((code & 15) - 8) * d
      out[base + 16 + i] = ((code >>> 4) - 8) * d
    }
  }
}

/** Block: d f16, m f16, 16 bytes: nibbles as in q4_0; a code times d, plus m. */
function dequantizeQ41(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 32, at += 20) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    const m = table[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    for (let i = 0; i < 16; i++) {
      const code = bytes[at + 4 + i]!
      out[base + i] = (code & 15) * d + m
      out[base + 16 + i] = (code >>> 4) * d + m
    }
  }
}

/** As q4_0, with a fifth bit per element: 32 bits before the nibbles, bit `i` for element `i`; each code minus 16. */
function dequantizeQ50(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 32, at += 22) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    const fifthBits = uint32At(bytes, at + 2)
    for (let i = 0; i < 16; i++) {
      const code = bytes[at + 6 + i]!
      out[base + i] = (((code & 15) | (((fifthBits >>> i) & 1) << 4)) - 16) * d
      out[base + 16 + i] = (((code >>> 4) | (((fifthBits >>> (16 + i)) & 1) << 4)) - 16) * d
    }
  }
}

/** As q4_1, with the fifth bits of q5_0 before the nibbles. */
function dequantizeQ51(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 32, at += 24) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    const m = table[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    const fifthBits = uint32At(bytes, at + 4)
    for (let i = 0; i < 16; i++) {
      const code = bytes[at + 8 + i]!
      out[base + i] = ((code & 15) | (((fifthBits >>> i) & 1) << 4)) * d + m
      out[base + 16 + i] = ((code >>> 4) | (((fifthBits >>> (16 + i)) & 1) << 4)) * d + m
    }
  }
}

function uint32At(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/**
 * The 6-bit scale and minimum of sub-block `j` in q4_k's and q5_k's 12 packed bytes: sub-blocks 0..3 in the low 6 bits of bytes
 * 0..7, sub-blocks 4..7 in nibbles of bytes 8..11 with their upper two bits atop bytes 0..7.
 */
function kScale(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | ((bytes[at + j - 4]! >>> 6) << 4)
}

function kMin(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >>> 4) | ((bytes[at + j]! >>> 6) << 4)
}

/** Block: d f16, dmin f16, 12 bytes of scales and minima, 128 bytes: each 32 hold two sub-blocks of 32 (low, high nibbles). */
function dequantizeQ4K(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 256, at += 144) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    const dmin = table[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    for (let j = 0; j < 8; j++) {
      const scale = d * kScale(bytes, at + 4, j)
      const min = dmin * kMin(bytes, at + 4, j)
      const codes = at + 16 + 32 * (j >>> 1)
      const shift = 4 * (j & 1)
      for (let i = 0; i < 32; i++) out[base + 32 * j + i] = scale * ((bytes[codes + i]! >>> shift) & 15) - min
    }
  }
}

/** As q4_k, with a fifth bit per element: 32 bytes before the nibbles, bit `j` of byte `i` for element `i` of sub-block `j`. */
function dequantizeQ5K(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 256, at += 176) {
    const d = table[bytes[at]! | (bytes[at + 1]! << 8)]!
    const dmin = table[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    for (let j = 0; j < 8; j++) {
      const scale = d * kScale(bytes, at + 4, j)
      const min = dmin * kMin(bytes, at + 4, j)
      const codes = at + 48 + 32 * (j >>> 1)
      const shift = 4 * (j & 1)
      for (let i = 0; i < 32; i++) {
        const code = ((bytes[codes + i]! >>> shift) & 15) | (((bytes[at + 16 + i]! >>> j) & 1) << 4)
        out[base + 32 * j + i] = scale * code - min
      }
    }
  }
}

/**
 * Block: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 × int8 scales (one per 16 elements), d f16; codes minus 32.
 * Each half of 128 elements: quarter q of 32 takes nibble q >> 1 of low bytes 32 * (q & 1) … and bit pair q of the upper bytes.
 */
function dequantizeQ6K(bytes: Uint8Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  let at = offset
  for (let base = 0; base < cols; base += 256, at += 210) {
    const d = table[bytes[at + 208]! | (bytes[at + 209]! << 8)]!
    for (let q = 0; q < 8; q++) {
      const low = at + 64 * (q >>> 2) + 32 * (q & 1)
      const lowShift = 2 * (q & 2)
      const high = at + 128 + 32 * (q >>> 2)
      const highShift = 2 * (q & 3)
      for (let i = 0; i < 32; i++) {
        const scale = d * ((bytes[at + 192 + 2 * q + (i >>> 4)]! << 24) >> 24)
        const code = ((bytes[low + i]! >>> lowShift) & 15) | (((bytes[high + i]! >>> highShift) & 3) << 4)
        out[base + 32 * q + i] = scale * (code - 32)
      }
    }
  }
}
