// AVX2 with FMA and F16C: panels of 16 rows, tiles of up to 6 activation rows (12 sums, 2 weights, 1 broadcast).
#pragma once

#include <immintrin.h>

#include "kernels/linear_dense_tile.h"

namespace octavo {
namespace {

struct Avx2Vector {
  using Type = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kMaxWidth = 6;

  static Type Zero() { return _mm256_setzero_ps(); }
  static Type Set(float value) { return _mm256_set1_ps(value); }
  static Type Load(const float* from) { return _mm256_loadu_ps(from); }
  static void Store(float* to, Type value) { _mm256_storeu_ps(to, value); }
  static Type Add(Type a, Type b) { return _mm256_add_ps(a, b); }
  static Type MulAdd(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static Type LoadHalf(const uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Type LoadBfloat16Even(const uint16_t* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(LoadPairs(from), 16));
  }
  static Type LoadBfloat16Odd(const uint16_t* from) {
    return _mm256_and_ps(_mm256_castsi256_ps(LoadPairs(from)), _mm256_castsi256_ps(_mm256_set1_epi32(-0x10000)));
  }
  static __m256i LoadPairs(const uint16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
};

}  // namespace
}  // namespace octavo
