import type { BlockFormat } from './dtype.ts'
import { float16Table } from './narrow-floats.ts'

/**
 * One block of each format → float32. The layouts and their arithmetic are ggml's (`ggml-quants.c`, `dequantize_row_*`).
 *
 * NOTE: plain JS arithmetic gives ggml's float32 results bit for bit: every float16 scale is a multiple of 2^-24, so scale × codes
 * and the sum or difference with the minimum are exact in float64, and ggml's own intermediate products are exact in float32; both round
 * once, at the store.
 */

/** Widens the block at `bytes[at …]` into `out[base …]`. */
type DequantizeBlock = (bytes: Uint8Array, at: number, out: Float32Array, base: number) => void

export const blockDequantizers: Readonly<Record<BlockFormat, DequantizeBlock>> = {
  q8_0: dequantizeQ80,
  q4_0: dequantizeQ40,
  q4_1: dequantizeQ41,
  q5_0: dequantizeQ50,
  q5_1: dequantizeQ51,
  q4_k: dequantizeQ4K,
  q5_k: dequantizeQ5K,
  q6_k: dequantizeQ6K,
}

function float16At(bytes: Uint8Array, at: number): number {
  return float16Table()[bytes[at]! | (bytes[at + 1]! << 8)]!
}

/** Block: d f16, 32 × int8. */
function dequantizeQ80(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  for (let i = 0; i < 32; i++) out[base + i] = ((bytes[at + 2 + i]! << 24) >> 24) * d
}

/** Block: d f16, 16 bytes: elements 0..15 in the low nibbles, 16..31 in the high ones, each code minus 8. */
function dequantizeQ40(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  for (let i = 0; i < 16; i++) {
    const code = bytes[at + 2 + i]!
    out[base + i] = ((code & 15) - 8) * d
    out[base + 16 + i] = ((code >>> 4) - 8) * d
  }
}

/** Block: d f16, m f16, 16 bytes: nibbles as in q4_0; a code times d, plus m. */
function dequantizeQ41(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  const m = float16At(bytes, at + 2)
  for (let i = 0; i < 16; i++) {
    const code = bytes[at + 4 + i]!
    out[base + i] = (code & 15) * d + m
    out[base + 16 + i] = (code >>> 4) * d + m
  }
}

/** As q4_0, with a fifth bit per element: 32 bits before the nibbles, bit `i` for element `i`; each code minus 16. */
function dequantizeQ50(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  const fifthBits = uint32At(bytes, at + 2)
  for (let i = 0; i < 16; i++) {
    const code = bytes[at + 6 + i]!
    out[base + i] = (((code & 15) | (((fifthBits >>> i) & 1) << 4)) - 16) * d
    out[base + 16 + i] = (((code >>> 4) | (((fifthBits >>> (16 + i)) & 1) << 4)) - 16) * d
  }
}

/** As q4_1, with the fifth bits of q5_0 before the nibbles. */
function dequantizeQ51(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  const m = float16At(bytes, at + 2)
  const fifthBits = uint32At(bytes, at + 4)
  for (let i = 0; i < 16; i++) {
    const code = bytes[at + 8 + i]!
    out[base + i] = ((code & 15) | (((fifthBits >>> i) & 1) << 4)) * d + m
    out[base + 16 + i] = ((code >>> 4) | (((fifthBits >>> (16 + i)) & 1) << 4)) * d + m
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
function dequantizeQ4K(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  const dmin = float16At(bytes, at + 2)
  for (let j = 0; j < 8; j++) {
    const scale = d * kScale(bytes, at + 4, j)
    const min = dmin * kMin(bytes, at + 4, j)
    const codes = at + 16 + 32 * (j >>> 1)
    const shift = 4 * (j & 1)
    for (let i = 0; i < 32; i++) out[base + 32 * j + i] = scale * ((bytes[codes + i]! >>> shift) & 15) - min
  }
}

/** As q4_k, with a fifth bit per element: 32 bytes before the nibbles, bit `j` of byte `i` for element `i` of sub-block `j`. */
function dequantizeQ5K(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at)
  const dmin = float16At(bytes, at + 2)
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

/**
 * Block: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 × int8 scales (one per 16 elements), d f16; codes minus 32.
 * Each half of 128 elements: quarter q of 32 takes nibble q >> 1 of low bytes 32 * (q & 1) … and bit pair q of the upper bytes.
 */
function dequantizeQ6K(bytes: Uint8Array, at: number, out: Float32Array, base: number): void {
  const d = float16At(bytes, at + 208)
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
