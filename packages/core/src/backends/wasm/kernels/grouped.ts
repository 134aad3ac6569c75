import { BFLOAT16, FLOAT16 } from './formats.generated'
import { storeScaled } from './unpack'
import { Weight } from './weight'
import { hoistedSplat, widenBFloat16Row, widenFloat16Row } from './widen'

/** The row's scales as float32, where they lie or in the weight's scratch. */
function widenedScales(weight: Weight, row: usize): usize {
  const scales = weight.scales + row * weight.scaleStride
  if (weight.scaleFormat == BFLOAT16) widenBFloat16Row(weight.scratch, scales, weight.numGroups)
  else if (weight.scaleFormat == FLOAT16) widenFloat16Row(weight.scratch, scales, weight.numGroups)
  else return scales
  return weight.scratch
}

/** Columns [from, to) of a row, code by code. */
function dequantizeCodes(out: usize, weight: Weight, row: usize, scales: usize, from: i32, to: i32): void {
  const codes = weight.rows + row * weight.stride
  const zeros = weight.zeros ? weight.zeros + row * <usize>weight.numGroups : 0
  const bits = <usize>weight.bits
  const mask: u32 = (1 << weight.bits) - 1
  const values = weight.values
  const groupOf = weight.groupOf
  const end = <usize>to * bits
  let column = <usize>from << 2
  for (let bit = <usize>from * bits; bit < end; bit += bits, column += 4) {
    // A code of up to 8 bits ends in the next byte at the latest; behind the codes of the last row there are scales.
    const code = (<u32>load<u16>(codes + (bit >> 3)) >> (<u32>bit & 7)) & mask
    const group = <usize>load<u32>(groupOf + column)
    let value = load<f32>(values + (<usize>code << 2))
    if (zeros) value -= <f32>load<u8>(zeros + group)
    store<f32>(out + column, value * load<f32>(scales + (group << 2)))
  }
}

/** Codes of 8 bits around 128, `count` whole blocks of 16. */
function dequantizeBytes(out: usize, codes: usize, count: i32, scale: v128): void {
  const signs = hoistedSplat(<i32>0x80808080, count)
  for (let i = 0; i < count; i += 16) {
    storeScaled(out, v128.xor(v128.load(codes), signs), scale)
    codes += 16
    out += 64
  }
}

/** Nibbles less `zero`, at most 128, `count` whole blocks of 32. */
function dequantizeNibbles(out: usize, codes: usize, count: i32, scale: v128, zero: i32): void {
  const mask = hoistedSplat(0x0f0f0f0f, count)
  const zeros = i8x16.splat(<i8>zero)
  for (let i = 0; i < count; i += 32) {
    const both = v128.load(codes)
    const even = i8x16.sub(v128.and(both, mask), zeros)
    const odd = i8x16.sub(v128.and(i16x8.shr_u(both, 4), mask), zeros)
    storeScaled(out, i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), scale)
    storeScaled(out + 64, i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), scale)
    codes += 16
    out += 128
  }
}

/** Row `row` to float32; the same values as `createGroupedReader` in tensor/grouped-format.ts, bit for bit. */
export function dequantizeGroupedRow(out: usize, weight: Weight, row: usize): void {
  const scales = widenedScales(weight, row)
  const cols = weight.cols
  const groupCols = weight.groupCols
  if (!groupCols) return dequantizeCodes(out, weight, row, scales, 0, cols)
  const codes = weight.rows + row * weight.stride
  const zeros = weight.zeros ? weight.zeros + row * <usize>weight.numGroups : 0
  for (let from = 0, group: usize = 0; from < cols; from += groupCols, group++) {
    const count = min(groupCols, cols - from)
    const scale = f32x4.splat(load<f32>(scales + (group << 2)))
    const zero = zeros ? <i32>load<u8>(zeros + group) : 8
    const at = out + (<usize>from << 2)
    if (weight.bits == 8) dequantizeBytes(at, codes + from, count, scale)
    else if (zero <= 128) dequantizeNibbles(at, codes + (from >> 1), count, scale, zero)
    else dequantizeCodes(out, weight, row, scales, from, from + count)
  }
}
