// NEON: panels of 16 rows, tiles of up to 6 activation rows (24 sums, 4 weights, 1 broadcast).
#pragma once

#include <arm_neon.h>

#include "kernels/linear_dense_tile.h"

namespace octavo {
namespace {

struct NeonVector {
  using Type = float32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kMaxWidth = 6;

  static Type Zero() { return vdupq_n_f32(0.0f); }
  static Type Set(float value) { return vdupq_n_f32(value); }
  static Type Load(const float* from) { return vld1q_f32(from); }
  static void Store(float* to, Type value) { vst1q_f32(to, value); }
  static Type Add(Type a, Type b) { return vaddq_f32(a, b); }
  static Type MulAdd(Type a, Type b, Type c) { return vfmaq_f32(c, a, b); }
  static Type LoadHalf(const uint16_t* from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }
  static Type LoadBfloat16Even(const uint16_t* from) {
    return vreinterpretq_f32_u32(vshlq_n_u32(LoadPairs(from), 16));
  }
  static Type LoadBfloat16Odd(const uint16_t* from) {
    return vreinterpretq_f32_u32(vandq_u32(LoadPairs(from), vdupq_n_u32(0xffff0000u)));
  }
  static uint32x4_t LoadPairs(const uint16_t* from) { return vreinterpretq_u32_u16(vld1q_u16(from)); }
};

}  // namespace
}  // namespace octavo
