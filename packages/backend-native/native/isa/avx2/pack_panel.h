#pragma once

#include <immintrin.h>

#include "kernels/pack_panel_simd.h"

namespace octavo {
namespace {

/// Rows 0..7 and 8..15.
struct PackVector {
  __m256i low, high;

  static PackVector Load(const uint32_t* from) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))};
  }
  static PackVector Gather(const uint8_t* const* rows, int64_t offset) {
    const auto pair = [=](int row) {
      const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset));
      const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row + 4] + offset));
      return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    };
    return {pair(0), pair(8)};
  }
  static PackVector Low32(PackVector a, PackVector b) {
    return {_mm256_unpacklo_epi32(a.low, b.low), _mm256_unpacklo_epi32(a.high, b.high)};
  }
  static PackVector High32(PackVector a, PackVector b) {
    return {_mm256_unpackhi_epi32(a.low, b.low), _mm256_unpackhi_epi32(a.high, b.high)};
  }
  static PackVector Low64(PackVector a, PackVector b) {
    return {_mm256_unpacklo_epi64(a.low, b.low), _mm256_unpacklo_epi64(a.high, b.high)};
  }
  static PackVector High64(PackVector a, PackVector b) {
    return {_mm256_unpackhi_epi64(a.low, b.low), _mm256_unpackhi_epi64(a.high, b.high)};
  }

  void Store(uint8_t* to) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), high);
  }
  /// The lower 16 bits of every row.
  void StoreLowHalves(uint8_t* to) const {
    const __m256i mask = _mm256_set1_epi32(0xffff);
    const __m256i packed = _mm256_packus_epi32(_mm256_and_si256(low, mask), _mm256_and_si256(high, mask));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0xd8));
  }

  PackVector operator&(uint32_t mask) const {
    const __m256i all = _mm256_set1_epi32(static_cast<int>(mask));
    return {_mm256_and_si256(low, all), _mm256_and_si256(high, all)};
  }
  PackVector operator|(PackVector other) const {
    return {_mm256_or_si256(low, other.low), _mm256_or_si256(high, other.high)};
  }
  PackVector operator^(PackVector other) const {
    return {_mm256_xor_si256(low, other.low), _mm256_xor_si256(high, other.high)};
  }
  PackVector operator<<(int count) const { return {_mm256_slli_epi32(low, count), _mm256_slli_epi32(high, count)}; }
  PackVector operator>>(int count) const { return {_mm256_srli_epi32(low, count), _mm256_srli_epi32(high, count)}; }
};

}  // namespace
}  // namespace octavo
