#pragma once

#include <immintrin.h>


namespace octavo {
namespace {

/// As the AVX-512 probe with the three instructions that AVX2 needs for four products.
double MultiplyAvx2(int64_t rounds) {
  constexpr int kLanes = 8;
  alignas(32) uint8_t operands[kLanes * 32];
  for (uint8_t& operand : operands) operand = 1;
  const __m256i ones = _mm256_set1_epi8(1);
  const __m256i pairs = _mm256_set1_epi16(1);
  __m256i sums[kLanes] = {};
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ __volatile__("" ::"r"(operands) : "memory");
    for (int lane = 0; lane < kLanes; lane++) {
      const __m256i x = _mm256_load_si256(reinterpret_cast<const __m256i*>(operands + 32 * lane));
      sums[lane] = _mm256_add_epi32(sums[lane], _mm256_madd_epi16(_mm256_maddubs_epi16(x, ones), pairs));
    }
  }
  alignas(32) int parts[8];
  volatile int sink = 0;
  for (const __m256i& sum : sums) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(parts), sum);
    sink = parts[0];
  }
  static_cast<void>(sink);
  return static_cast<double>(rounds) * kLanes * 32 * 2;
}

}  // namespace
}  // namespace octavo
