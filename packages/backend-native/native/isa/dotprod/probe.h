#pragma once

#include <arm_neon.h>


namespace octavo {
namespace {

/// As the AVX-512 probe with the dot product instruction of arm64.
double MultiplyDotprod(int64_t rounds) {
  constexpr int kLanes = 8;
  alignas(16) int8_t operands[kLanes * 16];
  for (int8_t& operand : operands) operand = 1;
  const int8x16_t ones = vdupq_n_s8(1);
  int32x4_t sums[kLanes] = {};
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ __volatile__("" ::"r"(operands) : "memory");
    for (int lane = 0; lane < kLanes; lane++) sums[lane] = vdotq_s32(sums[lane], vld1q_s8(operands + 16 * lane), ones);
  }
  volatile int sink = 0;
  for (const int32x4_t& sum : sums) sink = vgetq_lane_s32(sum, 0);
  static_cast<void>(sink);
  return static_cast<double>(rounds) * kLanes * 16 * 2;
}

}  // namespace
}  // namespace octavo
