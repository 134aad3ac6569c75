// Sixteen small integer codes (int8 lanes) to sixteen floats.

@inline
function codes4(codes: v128, quarter: i32): v128 {
  const halves = quarter < 2 ? i16x8.extend_low_i8x16_s(codes) : i16x8.extend_high_i8x16_s(codes)
  return f32x4.convert_i32x4_s(quarter & 1 ? i32x4.extend_high_i16x8_s(halves) : i32x4.extend_low_i16x8_s(halves))
}

/** out[i] = scale * codes[i] */
@inline
export function storeScaled(out: usize, codes: v128, scale: v128): void {
  v128.store(out, f32x4.mul(codes4(codes, 0), scale))
  v128.store(out, f32x4.mul(codes4(codes, 1), scale), 16)
  v128.store(out, f32x4.mul(codes4(codes, 2), scale), 32)
  v128.store(out, f32x4.mul(codes4(codes, 3), scale), 48)
}

/** out[i] = scale * codes[i] - min */
@inline
export function storeScaledMinus(out: usize, codes: v128, scale: v128, min: v128): void {
  v128.store(out, f32x4.sub(f32x4.mul(codes4(codes, 0), scale), min))
  v128.store(out, f32x4.sub(f32x4.mul(codes4(codes, 1), scale), min), 16)
  v128.store(out, f32x4.sub(f32x4.mul(codes4(codes, 2), scale), min), 32)
  v128.store(out, f32x4.sub(f32x4.mul(codes4(codes, 3), scale), min), 48)
}
