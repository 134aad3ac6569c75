// AVX-512: panels of 32 rows, tiles of up to 12 activation rows (24 sums, 2 weights, 1 broadcast).
#pragma once

#include <immintrin.h>

#include "kernels/linear_dense_tile.h"

namespace octavo {
namespace {

struct Avx512Vector {
  using Type = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kMaxWidth = 12;
  // The unmasked intrinsics start from an undefined register, which some compilers warn about; the code is the same.
  static constexpr __mmask16 kAll = 0xffff;

  static Type Zero() { return _mm512_setzero_ps(); }
  static Type Set(float value) { return _mm512_set1_ps(value); }
  static Type Load(const float* from) { return _mm512_loadu_ps(from); }
  static void Store(float* to, Type value) { _mm512_storeu_ps(to, value); }
  static Type Add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static Type MulAdd(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static Type LoadHalf(const uint16_t* from) {
    return _mm512_maskz_cvtph_ps(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Type LoadBfloat16Even(const uint16_t* from) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, LoadPairs(from), 16));
  }
  static Type LoadBfloat16Odd(const uint16_t* from) {
    return _mm512_castsi512_ps(_mm512_and_si512(LoadPairs(from), _mm512_set1_epi32(-0x10000)));
  }
  static __m512i LoadPairs(const uint16_t* from) { return _mm512_loadu_si512(from); }
};

}  // namespace
}  // namespace octavo
