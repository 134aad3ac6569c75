// 16-bit floats to float32; exact for every bit pattern (subnormals, infinities, NaN).

/** Marker types: how the elements of a row lie in memory, for the generic dots. */
export type Float32Row = f32
export type BFloat16Row = u16

/** Four elements of a row. */
@inline
export function loadRow<T>(pointer: usize): v128 {
  return isFloat<T>() ? v128.load(pointer) : i32x4.shl(v128.load_ext<u16>(pointer), 16)
}

/** The first `count` (1..3) elements, the other lanes zero; reads nothing beyond them. */
@inline
export function loadRowPartial<T>(pointer: usize, count: i32): v128 {
  let lanes = f32x4.replace_lane(f32x4.splat(0), 0, loadElement<T>(pointer))
  if (count > 1) lanes = f32x4.replace_lane(lanes, 1, loadElement<T>(pointer + sizeof<T>()))
  if (count > 2) lanes = f32x4.replace_lane(lanes, 2, loadElement<T>(pointer + 2 * sizeof<T>()))
  return lanes
}

@inline
function loadElement<T>(pointer: usize): f32 {
  return isFloat<T>() ? load<f32>(pointer) : reinterpret<f32>(<u32>load<u16>(pointer) << 16)
}

/** bfloat16: the upper half of a float32. */
export function widenBFloat16Row(out: usize, row: usize, cols: i32): void {
  const end = out + (<usize>(cols & ~3) << 2)
  for (; out < end; out += 16, row += 8) v128.store(out, loadRow<BFloat16Row>(row))
  for (let i = cols & 3; i > 0; i--, out += 4, row += 2) store<f32>(out, loadElement<BFloat16Row>(row))
}

/**
 * A vector constant made from `cols >>> 31`, a zero that compilers cannot see through. V8 rebuilds a true constant from
 * immediates at every use inside a loop; which takes longer than the work of a short loop.
 */
@inline
export function hoistedSplat(value: i32, cols: i32): v128 {
  return i32x4.splat(value + (cols >>> 31))
}

/** Four halves of any kind: integer rebias for normals, infinity and NaN, a float subtraction for subnormals. */
function widenFour(out: usize, row: usize): void {
  const bits = v128.load_ext<i16>(row)
  const magnitude = v128.and(i32x4.shl(bits, 13), i32x4.splat(0x7fff << 13))
  const rebias = i32x4.splat(112 << 23)
  const special = v128.and(i32x4.ge_s(magnitude, i32x4.splat(0x7c00 << 13)), rebias)
  const normal = i32x4.add(i32x4.add(magnitude, rebias), special)
  const smallestNormal = i32x4.splat(113 << 23)
  const subnormal = f32x4.sub(i32x4.add(magnitude, smallestNormal), smallestNormal)
  const value = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(1 << 23)))
  v128.store(out, v128.or(value, v128.and(bits, i32x4.splat(i32.MIN_VALUE))))
}

/**
 * Sign, exponent and mantissa move to their places in float32, and a factor of 2^112 corrects the exponent: exact for
 * normal halves. A subnormal half would become a float32 subnormal, on which x86 multiplies a hundred times slower, and
 * infinity and NaN would become numbers: eight halves with one of those, or a zero, among them take another way.
 */
export function widenFloat16Row(out: usize, row: usize, cols: i32): void {
  const places = hoistedSplat(0x8fffe000, cols)
  const rebias = hoistedSplat((127 + 112) << 23, cols)
  const magnitudes = hoistedSplat(0x7fff7fff, cols)
  // Added to a magnitude, it takes normal halves to 0x800 ... 0x7fff, subnormal ones below, infinity and NaN to negative numbers.
  const shift = hoistedSplat(0x04000400, cols)
  const smallestNormal = hoistedSplat(0x08000800, cols)
  const end = out + (<usize>(cols & ~7) << 2)
  for (; out < end; out += 32, row += 16) {
    const shifted = i16x8.add(v128.and(v128.load(row), magnitudes), shift)
    if (v128.any_true(i16x8.lt_s(shifted, smallestNormal))) {
      widenFour(out, row)
      widenFour(out + 16, row + 8)
    } else {
      const low = v128.and(i32x4.shl(v128.load_ext<i16>(row), 13), places)
      const high = v128.and(i32x4.shl(v128.load_ext<i16>(row, 8), 13), places)
      v128.store(out, f32x4.mul(low, rebias))
      v128.store(out, f32x4.mul(high, rebias), 16)
    }
  }
  for (let i = cols & 7; i > 0; i--, out += 4, row += 2) store<f32>(out, widenHalf(load<u16>(row)))
}

/** One half. Scales of k-quants are often subnormal halves: hence no float32 subnormal on the way. */
@inline
export function widenHalf(bits: u16): f32 {
  const mantissa = <u32>(bits & 0x3ff)
  const exponent = <u32>(bits & 0x7c00)
  const sign = <u32>(bits & 0x8000) << 16
  if (exponent == 0) return copysign<f32>(<f32>mantissa * <f32>(1.0 / 16777216), reinterpret<f32>(sign))
  const rebias: u32 = exponent == 0x7c00 ? 224 << 23 : 112 << 23
  return reinterpret<f32>(sign | (((exponent | mantissa) << 13) + rebias))
}
