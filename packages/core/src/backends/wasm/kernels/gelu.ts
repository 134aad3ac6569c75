import { swish4 } from './exp'

/**
 * 0.5 x (1 + tanh(u)) = x * sigmoid(2 u), which does not cancel for negative x;
 * u = sqrt(2 / pi) * (x + 0.044715 x^3)  (Hendrycks and Gimpel 2016, arXiv:1606.08415).
 */
@inline
export function geluTanh4(x: v128): v128 {
  const cubic = f32x4.mul(f32x4.mul(x, x), f32x4.splat(0.044715))
  return swish4(x, f32x4.mul(f32x4.splat(1.5957691216057308), f32x4.add(f32x4.splat(1), cubic)))
}

/** exp for x <= 0 in float64, relative error below 1e-10: enough for a float32 result. */
function expNegative(x: f64): f64 {
  if (x < -700) return 0
  const n = nearest(x * 1.4426950408889634)
  const r = x - n * 0.6931471805599453
  let p: f64 = 1.0 / 3628800
  p = p * r + 1.0 / 362880
  p = p * r + 1.0 / 40320
  p = p * r + 1.0 / 5040
  p = p * r + 1.0 / 720
  p = p * r + 1.0 / 120
  p = p * r + 1.0 / 24
  p = p * r + 1.0 / 6
  p = p * r + 0.5
  p = p * r + 1
  p = p * r + 1
  return p * reinterpret<f64>((<i64>n + 1023) << 52)
}

/** Complementary error function, relative error below 1.2e-7 everywhere (Press et al., Numerical Recipes, erfcc). */
function erfc(x: f64): f64 {
  const z = abs(x)
  const t = 1 / (1 + 0.5 * z)
  let p: f64 = 0.17087277
  p = p * t - 0.82215223
  p = p * t + 1.48851587
  p = p * t - 1.13520398
  p = p * t + 0.27886807
  p = p * t - 0.18628806
  p = p * t + 0.09678418
  p = p * t + 0.37409196
  p = p * t + 1.00002368
  const tail = t * expNegative(-z * z - 1.26551223 + t * p)
  return x < 0 ? 2 - tail : tail
}

/** x * Phi(x) with erfc instead of 1 + erf, which would cancel for negative x. */
function gelu1(x: f32): f32 {
  return <f32>(0.5 * <f64>x * erfc(-0.7071067811865476 * <f64>x))
}

@inline
export function gelu4(x: v128): v128 {
  let y = f32x4.splat(gelu1(f32x4.extract_lane(x, 0)))
  y = f32x4.replace_lane(y, 1, gelu1(f32x4.extract_lane(x, 1)))
  y = f32x4.replace_lane(y, 2, gelu1(f32x4.extract_lane(x, 2)))
  return f32x4.replace_lane(y, 3, gelu1(f32x4.extract_lane(x, 3)))
}
