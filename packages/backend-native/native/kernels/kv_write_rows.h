// Rounding of keys and values for a narrow KV cache: plain loops that the compiler maps to the instruction set of the file
// that includes them. Every operation is exact or correctly rounded, so all instruction sets give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quantize_activations.h"

namespace octavo {

static inline void RoundRow(uint16_t* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    std::memcpy(&bits, from + i, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const uint32_t quiet_nan = (bits >> 16) | 0x40;
    to[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
  }
}

/// Returns the scale. As QuantizeActivations does with its blocks.
static inline float QuantizeHead(int8_t* to, const float* from, size_t n) {
  uint32_t largest_bits = 0;  // as an integer, so that a NaN counts as larger than infinity
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    std::memcpy(&bits, from + i, sizeof bits);
    bits &= 0x7fffffff;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  float largest;
  std::memcpy(&largest, &largest_bits, sizeof largest);
  const bool is_zero = largest < kSmallestQuantized;
  if (is_zero || largest_bits >= 0x7f800000) {
    std::memset(to, 0, n);
    return is_zero ? 0.0f : largest / 127.0f;
  }
  const float inverse = 127.0f / largest;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction bits
  for (size_t i = 0; i < n; i++) to[i] = static_cast<int8_t>(static_cast<int32_t>((from[i] * inverse + magic) - magic));
  return largest / 127.0f;
}

/// V, whose vectors it does without, keeps the instruction sets' instances apart.
template <class V>
struct KvWriteKernel {
  static void RoundToBfloat16(uint16_t* to, const float* from, int64_t n) { RoundRow(to, from, n); }

  static void QuantizeHeads(int8_t* to, float* scales, const float* from, int64_t heads, int64_t head_dim) {
    const auto size = static_cast<size_t>(head_dim);
    for (int64_t h = 0; h < heads; h++) scales[h] = QuantizeHead(to + h * head_dim, from + h * head_dim, size);
  }
};

}  // namespace octavo
