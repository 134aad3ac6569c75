// 16-bit floats as float32, one value at a time.
#pragma once

#include <cstdint>
#include <cstring>

namespace octavo {

inline float FloatFromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float FloatFromBfloat16(uint16_t bits) { return FloatFromBits(static_cast<uint32_t>(bits) << 16); }

/// IEEE half, subnormals, infinities and NaN payloads included.
inline float FloatFromHalf(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0x1f) return FloatFromBits(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return FloatFromBits(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace octavo
