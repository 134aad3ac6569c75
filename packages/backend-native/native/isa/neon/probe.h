#pragma once

#include <arm_neon.h>


namespace octavo {
namespace {

/// As the AVX-512 probe with the instructions that plain NEON needs: products in int16, pairs of them added in int32.
double MultiplyNeon(int64_t rounds) {
  constexpr int kLanes = 8;
  alignas(16) int8_t operands[kLanes * 16];
  for (int8_t& operand : operands) operand = 1;
  const int8x16_t ones = vdupq_n_s8(1);
  int32x4_t sums[kLanes] = {};
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ __volatile__("" ::"r"(operands) : "memory");
    for (int lane = 0; lane < kLanes; lane++) {
      const int8x16_t x = vld1q_s8(operands + 16 * lane);
      const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(ones));
      sums[lane] = vpadalq_s16(sums[lane], vmlal_high_s8(low, x, ones));
    }
  }
  volatile int sink = 0;
  for (const int32x4_t& sum : sums) sink = vgetq_lane_s32(sum, 0);
  static_cast<void>(sink);
  return static_cast<double>(rounds) * kLanes * 16 * 2;
}

}  // namespace
}  // namespace octavo
