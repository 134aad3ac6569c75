// ggml's q8_0, q4_0, q4_1, q5_0 and q5_1: blocks of 32 elements with one float16 scale (`ggml-quants.c`, dequantize_row_*).
// NOTE: products of a float16 scale with these codes are exact in float32; only the sum with q4_1's and q5_1's m rounds.
import { Q8_0_BYTES, Q8_0_ELEMENTS, Q4_0_BYTES, Q4_0_ELEMENTS, Q4_1_BYTES, Q4_1_ELEMENTS, Q5_0_BYTES, Q5_0_ELEMENTS, Q5_1_BYTES, Q5_1_ELEMENTS } from './formats.generated'
import { storeScaled, storeScaledMinus } from './unpack'
import { hoistedSplat, widenHalf } from './widen'

/** Block: d f16, 32 x int8. */
export function dequantizeQ80(out: usize, block: usize, cols: i32): void {
  for (let i = 0; i < cols; i += Q8_0_ELEMENTS) {
    const d = f32x4.splat(widenHalf(load<u16>(block)))
    storeScaled(out, v128.load(block, 2), d)
    storeScaled(out + 64, v128.load(block, 18), d)
    block += Q8_0_BYTES
    out += 128
  }
}

/** Block: d f16, 16 bytes: elements 0..15 in the low nibbles, 16..31 in the high ones, each code minus 8. */
export function dequantizeQ40(out: usize, block: usize, cols: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, cols)
  const offset = hoistedSplat(0x08080808, cols)
  for (let i = 0; i < cols; i += Q4_0_ELEMENTS) {
    const d = f32x4.splat(widenHalf(load<u16>(block)))
    const codes = v128.load(block, 2)
    storeScaled(out, i8x16.sub(v128.and(codes, mask), offset), d)
    // A shift of 16-bit lanes and a mask: x86 has no shift of bytes.
    storeScaled(out + 64, i8x16.sub(v128.and(i16x8.shr_u(codes, 4), mask), offset), d)
    block += Q4_0_BYTES
    out += 128
  }
}

/** Block: d f16, m f16, 16 bytes: nibbles as in q4_0; a code times d, plus m. */
export function dequantizeQ41(out: usize, block: usize, cols: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, cols)
  for (let i = 0; i < cols; i += Q4_1_ELEMENTS) {
    const d = f32x4.splat(widenHalf(load<u16>(block)))
    const min = f32x4.splat(-widenHalf(load<u16>(block, 2)))
    const codes = v128.load(block, 4)
    storeScaledMinus(out, v128.and(codes, mask), d, min)
    storeScaledMinus(out + 64, v128.and(i16x8.shr_u(codes, 4), mask), d, min)
    block += Q4_1_BYTES
    out += 128
  }
}

/** Sixteen lanes, all ones where the bit of `bits` with the lane's number is set; bitOfLane: 1, 2, 4 ... 128 twice. */
@inline
function lanesOfBits(bits: v128, bitOfLane: v128): v128 {
  return i8x16.eq(v128.and(bits, bitOfLane), bitOfLane)
}

@inline
function hoistedBitOfLane(cols: i32): v128 {
  return i64x2.splat(0x8040201008040201 + <i64>(cols >>> 31))
}

/** Bytes 0 and 1 of the fifth bits, eight times each: those of elements 0..15. */
@inline
function lowFifthBits(fifthBits: v128): v128 {
  return v128.shuffle<u8>(fifthBits, fifthBits, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
}

/** Bytes 2 and 3, eight times each: those of elements 16..31. */
@inline
function highFifthBits(fifthBits: v128): v128 {
  return v128.shuffle<u8>(fifthBits, fifthBits, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3)
}

/** As q4_0, with a fifth bit per element: 32 bits before the nibbles, bit i for element i; each code minus 16. */
export function dequantizeQ50(out: usize, block: usize, cols: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, cols)
  // A nibble without its fifth bit is a code below 16, and minus 16 sets the four upper bits of its byte.
  const belowSixteen = hoistedSplat(0xf0f0f0f0, cols)
  const bitOfLane = hoistedBitOfLane(cols)
  for (let i = 0; i < cols; i += Q5_0_ELEMENTS) {
    const d = f32x4.splat(widenHalf(load<u16>(block)))
    const fifthBits = v128.load32_zero(block, 2)
    const codes = v128.load(block, 6)
    const low = v128.andnot(belowSixteen, lanesOfBits(lowFifthBits(fifthBits), bitOfLane))
    const high = v128.andnot(belowSixteen, lanesOfBits(highFifthBits(fifthBits), bitOfLane))
    storeScaled(out, v128.or(v128.and(codes, mask), low), d)
    storeScaled(out + 64, v128.or(v128.and(i16x8.shr_u(codes, 4), mask), high), d)
    block += Q5_0_BYTES
    out += 128
  }
}

/** As q4_1, with the fifth bits of q5_0 before the nibbles. */
export function dequantizeQ51(out: usize, block: usize, cols: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, cols)
  const fifth = hoistedSplat(0x10101010, cols)
  const bitOfLane = hoistedBitOfLane(cols)
  for (let i = 0; i < cols; i += Q5_1_ELEMENTS) {
    const d = f32x4.splat(widenHalf(load<u16>(block)))
    const min = f32x4.splat(-widenHalf(load<u16>(block, 2)))
    const fifthBits = v128.load32_zero(block, 4)
    const codes = v128.load(block, 8)
    const low = v128.and(fifth, lanesOfBits(lowFifthBits(fifthBits), bitOfLane))
    const high = v128.and(fifth, lanesOfBits(highFifthBits(fifthBits), bitOfLane))
    storeScaledMinus(out, v128.or(v128.and(codes, mask), low), d, min)
    storeScaledMinus(out + 64, v128.or(v128.and(i16x8.shr_u(codes, 4), mask), high), d, min)
    block += Q5_1_BYTES
    out += 128
  }
}
