// exp, tanh and what activations make of them, over the vectors of isa/*/vec.h. Body and tail of every loop use the same
// vector code, so the value of an element does not depend on its place.
// Coefficients: minimax fits in relative error by weighted least squares (Lawson's iteration), rounded to float32.
#pragma once

namespace octavo {

/// e^x: relative error below 2e-7; infinity above about 88.7, NaN for NaN. Below -87.33, where the result would be
/// subnormal, 0: processors take a hundred times as long over those, and attention makes many.
template <class V>
inline typename V::Reg Exp(typename V::Reg x) {
  const auto lowest = V::Set(-87.33f);
  const auto is_zero = V::Less(x, lowest);
  x = V::Min(V::Set(90.0f), V::Max(lowest, x));
  const auto n = V::Round(V::Mul(x, V::Set(1.44269504f)));
  // x - n ln 2 in two steps: n times the first constant (9 bits) is exact.
  auto r = V::Fnma(n, V::Set(0.693359375f), x);
  r = V::Fnma(n, V::Set(-2.12194440e-4f), r);
  auto p = V::Fma(V::Set(0.0013814465f), r, V::Set(0.008368781f));
  p = V::Fma(p, r, V::Set(0.041668393f));
  p = V::Fma(p, r, V::Set(0.1666652f));
  p = V::Fma(p, r, V::Set(0.49999994f));
  p = V::Fma(p, r, V::Set(1.0f));
  p = V::Fma(p, r, V::Set(1.0f));
  return V::Select(is_zero, V::Zero(), V::ScaleByPowerOfTwo(p, n));
}

/// 2^x for x <= 0: relative error below 2e-7, exactly 1 for 0, NaN for NaN, and 0 below -126.5. Half the work of Exp.
template <class V>
inline typename V::Reg PowerOfTwo(typename V::Reg x) {
  // 1.5 * 2^23 + 127: adding it leaves no fraction bits, and in the lowest nine bits of the sum the exponent of 2^n.
  const auto magic = V::Set(12583039.0f);
  x = V::Max(V::Set(-127.0f), x);  // exponent bits 0: a factor 0
  const auto shifted = V::Add(x, magic);
  const auto r = V::Sub(x, V::Sub(shifted, magic));  // exact
  auto p = V::Fma(V::Set(0.0013264727f), r, V::Set(0.009671513f));
  p = V::Fma(p, r, V::Set(0.055507336f));
  p = V::Fma(p, r, V::Set(0.24022242f));
  p = V::Fma(p, r, V::Set(0.693147f));
  p = V::Fma(p, r, V::Set(1.0f));
  return V::Mul(p, V::ExponentOf(shifted));
}

template <class V>
inline typename V::Reg Tanh(typename V::Reg x) {
  const auto z = V::Mul(x, x);
  auto p = V::Fma(V::Set(-0.005717037f), z, V::Set(0.020650579f));
  p = V::Fma(p, z, V::Set(-0.053743497f));
  p = V::Fma(p, z, V::Set(0.13331491f));
  p = V::Fma(p, z, V::Set(-0.33333284f));
  const auto near = V::Fma(V::Mul(x, z), p, x);
  const auto magnitude = V::Abs(x);
  const auto growth = Exp<V>(V::Add(magnitude, magnitude));
  const auto far = V::Sub(V::Set(1.0f), V::Div(V::Set(2.0f), V::Add(growth, V::Set(1.0f))));
  return V::Select(V::Less(magnitude, V::Set(0.625f)), near, V::CopySign(far, x));
}

/// x * sigmoid(steepness * x)
template <class V>
inline typename V::Reg Swish(typename V::Reg x, typename V::Reg steepness) {
  const auto decay = Exp<V>(V::Sub(V::Zero(), V::Mul(steepness, x)));
  return V::Div(x, V::Add(V::Set(1.0f), decay));
}

/// 0.5 x (1 + tanh(u)) = x * sigmoid(2 u), which does not cancel for negative x; u = sqrt(2 / pi) * (x + 0.044715 x^3).
template <class V>
inline typename V::Reg GeluTanh(typename V::Reg x) {
  const auto cubic = V::Fma(V::Mul(x, x), V::Set(0.044715f), V::Set(1.0f));
  return Swish<V>(x, V::Mul(V::Set(1.59576912f), cubic));
}

/// x * Phi(x) by way of erfc instead of 1 + erf, which would cancel for negative x:
/// erfc(z) = exp(-z^2) * t * p(t) with t = 1 / (1 + z / 2), z = |x| / sqrt(2).
template <class V>
inline typename V::Reg Gelu(typename V::Reg x) {
  const auto a = V::Min(V::Set(16.0f), V::Abs(x));  // exp(-a^2 / 2) is 0 from there on
  const auto square = V::Mul(a, a);
  const auto rest = V::Fma(a, a, V::Sub(V::Zero(), square));  // what rounding took from a^2 (0 without a fused multiply-add)
  const auto decay = Exp<V>(V::Mul(V::Set(-0.5f), square));
  const auto t = V::Div(V::Set(1.0f), V::Fma(V::Set(0.353553391f), a, V::Set(1.0f)));
  auto p = V::Fma(V::Set(-0.059069216f), t, V::Set(0.28457618f));
  p = V::Fma(p, t, V::Set(-0.4872023f));
  p = V::Fma(p, t, V::Set(0.2780698f));
  p = V::Fma(p, t, V::Set(-0.026627384f));
  p = V::Fma(p, t, V::Set(0.20268756f));
  p = V::Fma(p, t, V::Set(0.24310361f));
  p = V::Fma(p, t, V::Set(0.28237534f));
  p = V::Fma(p, t, V::Set(0.2820864f));
  const auto corrected = V::Fma(V::Mul(V::Set(-0.5f), rest), decay, decay);
  const auto lower = V::Mul(V::Mul(V::Set(0.5f), t), V::Mul(p, corrected));  // Phi(-|x|)
  return V::Mul(x, V::Select(V::Less(x, V::Zero()), lower, V::Sub(V::Set(1.0f), lower)));
}

}  // namespace octavo
