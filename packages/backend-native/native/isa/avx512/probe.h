#pragma once

#include <immintrin.h>


namespace octavo {
namespace {

/// Sixteen accumulators hide the latency of vpdpbusd; the first operand comes from memory.
double MultiplyAvx512(int64_t rounds) {
  constexpr int kLanes = 16;
  alignas(64) uint8_t operands[kLanes * 64];
  for (uint8_t& operand : operands) operand = 1;
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sums[kLanes] = {};
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ __volatile__("" ::"r"(operands) : "memory");
    for (int lane = 0; lane < kLanes; lane++) {
      sums[lane] = _mm512_dpbusd_epi32(sums[lane], _mm512_load_si512(operands + 64 * lane), ones);
    }
  }
  int total = 0;
  for (const __m512i& sum : sums) total += _mm512_reduce_add_epi32(sum);
  volatile int sink = total;
  static_cast<void>(sink);
  return static_cast<double>(rounds) * kLanes * 64 * 2;
}

}  // namespace
}  // namespace octavo
