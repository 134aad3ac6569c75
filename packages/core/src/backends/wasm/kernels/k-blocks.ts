// ggml's q4_k, q5_k and q6_k: super-blocks of 256 elements (`ggml-quants.c`, dequantize_row_*).
// NOTE: every product of a float16 scale with its small integers is exact in float32; only the subtraction of the minimum rounds.
// Bytes are shifted as 16-bit lanes and masked afterwards: x86 has no shift of bytes.
import { Q4_K_BYTES, Q4_K_ELEMENTS, Q5_K_BYTES, Q5_K_ELEMENTS, Q6_K_BYTES, Q6_K_ELEMENTS } from './formats.generated'
import { storeScaled, storeScaledMinus } from './unpack'
import { hoistedSplat, widenHalf } from './widen'

/** 6-bit scale of sub-block j: see `kMin` for the packing. */
@inline
function kScale(scales: usize, j: usize): f32 {
  const at = scales + j
  return <f32>(j < 4 ? load<u8>(at) & 63 : (load<u8>(at, 4) & 15) | ((load<u8>(at - 4) >> 6) << 4))
}

/** 6-bit minimum: sub-blocks 0..3 in bytes 4..7; 4..7 in the high nibbles of bytes 8..11 and the top bits of bytes 4..7. */
@inline
function kMin(scales: usize, j: usize): f32 {
  const at = scales + j
  return <f32>(j < 4 ? load<u8>(at, 4) & 63 : (load<u8>(at, 4) >> 4) | ((load<u8>(at) >> 6) << 4))
}

/** Block: d f16, dmin f16, 12 bytes of scales and minima, 128 bytes: each 32 hold two sub-blocks (low, high nibbles). */
export function dequantizeQ4K(out: usize, block: usize, cols: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, cols)
  for (let i = 0; i < cols; i += Q4_K_ELEMENTS) {
    const d = widenHalf(load<u16>(block))
    const dmin = widenHalf(load<u16>(block, 2))
    for (let j: usize = 0; j < 8; j += 2) {
      const codes0 = v128.load(block + 16 + 16 * j)
      const codes1 = v128.load(block + 32 + 16 * j)
      let scale = f32x4.splat(d * kScale(block + 4, j))
      let min = f32x4.splat(dmin * kMin(block + 4, j))
      storeScaledMinus(out, v128.and(codes0, mask), scale, min)
      storeScaledMinus(out + 64, v128.and(codes1, mask), scale, min)
      scale = f32x4.splat(d * kScale(block + 4, j + 1))
      min = f32x4.splat(dmin * kMin(block + 4, j + 1))
      storeScaledMinus(out + 128, v128.and(i16x8.shr_u(codes0, 4), mask), scale, min)
      storeScaledMinus(out + 192, v128.and(i16x8.shr_u(codes1, 4), mask), scale, min)
      out += 256
    }
    block += Q4_K_BYTES
  }
}

/** Sixteen codes of q5_k; bit 4 of `bits` is each one's fifth bit. */
@inline
function codesQ5K(nibbles: v128, bits: v128, lowMask: v128, fifthMask: v128): v128 {
  return v128.or(v128.and(nibbles, lowMask), v128.and(bits, fifthMask))
}

/** Sub-block j of q5_k, 32 elements; bits0, bits1: the bytes of fifth bits, shifted so that theirs is bit 4. */
@inline
function subBlockQ5K(
  out: usize,
  block: usize,
  j: usize,
  d: f32,
  dmin: f32,
  bits0: v128,
  bits1: v128,
  lowMask: v128,
  fifthMask: v128,
): void {
  const scale = f32x4.splat(d * kScale(block + 4, j))
  const min = f32x4.splat(dmin * kMin(block + 4, j))
  let codes0 = v128.load(block + 48 + 32 * (j >> 1))
  let codes1 = v128.load(block + 64 + 32 * (j >> 1))
  if (j & 1) {
    codes0 = i16x8.shr_u(codes0, 4)
    codes1 = i16x8.shr_u(codes1, 4)
  }
  storeScaledMinus(out + 128 * j, codesQ5K(codes0, bits0, lowMask, fifthMask), scale, min)
  storeScaledMinus(out + 128 * j + 64, codesQ5K(codes1, bits1, lowMask, fifthMask), scale, min)
}

/** As q4_k, with 32 bytes before the nibbles: bit j of byte i is the fifth bit of element i of sub-block j. */
export function dequantizeQ5K(out: usize, block: usize, cols: i32): void {
  const low = hoistedSplat(0x0f0f0f0f, cols)
  const fifth = hoistedSplat(0x10101010, cols)
  for (let i = 0; i < cols; i += Q5_K_ELEMENTS) {
    const d = widenHalf(load<u16>(block))
    const m = widenHalf(load<u16>(block, 2))
    const bits0 = v128.load(block, 16)
    const bits1 = v128.load(block, 32)
    subBlockQ5K(out, block, 0, d, m, i16x8.shl(bits0, 4), i16x8.shl(bits1, 4), low, fifth)
    subBlockQ5K(out, block, 1, d, m, i16x8.shl(bits0, 3), i16x8.shl(bits1, 3), low, fifth)
    subBlockQ5K(out, block, 2, d, m, i16x8.shl(bits0, 2), i16x8.shl(bits1, 2), low, fifth)
    subBlockQ5K(out, block, 3, d, m, i16x8.shl(bits0, 1), i16x8.shl(bits1, 1), low, fifth)
    subBlockQ5K(out, block, 4, d, m, bits0, bits1, low, fifth)
    subBlockQ5K(out, block, 5, d, m, i16x8.shr_u(bits0, 1), i16x8.shr_u(bits1, 1), low, fifth)
    subBlockQ5K(out, block, 6, d, m, i16x8.shr_u(bits0, 2), i16x8.shr_u(bits1, 2), low, fifth)
    subBlockQ5K(out, block, 7, d, m, i16x8.shr_u(bits0, 3), i16x8.shr_u(bits1, 3), low, fifth)
    block += Q5_K_BYTES
    out += 1024
  }
}

/** Sixteen codes of q6_k; bits 4 and 5 of `pairs` are each one's upper bits. */
@inline
function codesQ6K(nibbles: v128, pairs: v128, lowMask: v128, highMask: v128, offset: v128): v128 {
  return i8x16.sub(v128.or(v128.and(nibbles, lowMask), v128.and(pairs, highMask)), offset)
}

@inline
function scaleQ6K(scales: usize, d: f32): v128 {
  return f32x4.splat(d * <f32>load<i8>(scales))
}

/**
 * Block: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 x int8 scales (one per 16 elements), d f16; codes minus 32.
 * Each half of 128 elements: quarter q of 32 takes nibble q >> 1 of low bytes 32 * (q & 1) ... and bit pair q of the upper bytes.
 */
export function dequantizeQ6K(out: usize, block: usize, cols: i32): void {
  const low = hoistedSplat(0x0f0f0f0f, cols)
  const high = hoistedSplat(0x30303030, cols)
  const offset = hoistedSplat(0x20202020, cols)
  for (let i = 0; i < cols; i += Q6_K_ELEMENTS) {
    const d = widenHalf(load<u16>(block, 208))
    for (let half: usize = 0; half < 2; half++) {
      for (let within: usize = 0; within < 2; within++) {
        const at = block + 64 * half + 16 * within
        const even = v128.load(at)
        const odd = v128.load(at + 32)
        const pairs = v128.load(block + 128 + 32 * half + 16 * within)
        const scales = block + 192 + 8 * half + within
        const to = out + 64 * within
        storeScaled(to, codesQ6K(even, i16x8.shl(pairs, 4), low, high, offset), scaleQ6K(scales, d))
        storeScaled(to + 128, codesQ6K(odd, i16x8.shl(pairs, 2), low, high, offset), scaleQ6K(scales + 2, d))
        storeScaled(to + 256, codesQ6K(i16x8.shr_u(even, 4), pairs, low, high, offset), scaleQ6K(scales + 4, d))
        storeScaled(to + 384, codesQ6K(i16x8.shr_u(odd, 4), i16x8.shr_u(pairs, 2), low, high, offset), scaleQ6K(scales + 6, d))
      }
      out += 512
    }
    block += Q6_K_BYTES
  }
}
