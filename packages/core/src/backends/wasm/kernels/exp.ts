// exp, sigmoid and tanh on four lanes. Body and tail of every loop use these, so a value does not depend on the place
// of its element. Polynomials: Moshier, Cephes (expf, tanhf), relative error below 2e-7.

/** Correctly rounded limits: 0 below about -104, infinity above about 88.7; NaN stays NaN. */
@inline
export function exp4(x: v128): v128 {
  const clamped = f32x4.min(f32x4.max(x, f32x4.splat(-105)), f32x4.splat(89))
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(1.44269504088896341)))
  let r = f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(0.693359375)))
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)))
  let p = f32x4.splat(1.9875691500e-4)
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1))
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), f32x4.add(r, f32x4.splat(1)))
  // 2^n in two factors: n reaches -151 and 128, beyond the exponents of normal numbers.
  const exponent = i32x4.trunc_sat_f32x4_s(n)
  const half = i32x4.shr_s(exponent, 1)
  const rest = i32x4.sub(exponent, half)
  const bias = i32x4.splat(127)
  p = f32x4.mul(p, i32x4.shl(i32x4.add(half, bias), 23))
  return f32x4.mul(p, i32x4.shl(i32x4.add(rest, bias), 23))
}

/** `exp4` of one value, bit for bit. */
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}

/** x * 1 / (1 + exp(-steepness * x)) */
@inline
export function swish4(x: v128, steepness: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(f32x4.mul(x, steepness)))))
}

@inline
export function tanh4(x: v128): v128 {
  const z = f32x4.mul(x, x)
  let p = f32x4.splat(-5.70498872745e-3)
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-3.33332819422e-1))
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, z), x), x)
  const magnitude = f32x4.abs(x)
  const growth = exp4(f32x4.add(magnitude, magnitude))
  const far = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(growth, f32x4.splat(1))))
  const signed = v128.or(far, v128.and(x, i32x4.splat(0x80000000)))
  return v128.bitselect(near, signed, f32x4.lt(magnitude, f32x4.splat(0.625)))
}
