#pragma once

#include <immintrin.h>

#include "kernels/pack_panel_simd.h"

namespace octavo {
namespace {

struct PackVector {
  __m512i v;

  static PackVector Load(const uint32_t* from) { return {_mm512_loadu_si512(from)}; }
  static PackVector Gather(const uint8_t* const* rows, int64_t offset) {
    const auto piece = [=](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset)); };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(piece(0)), piece(4), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(piece(8)), piece(12), 1);
    return {_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)};
  }
  static PackVector Low32(PackVector a, PackVector b) { return {_mm512_unpacklo_epi32(a.v, b.v)}; }
  static PackVector High32(PackVector a, PackVector b) { return {_mm512_unpackhi_epi32(a.v, b.v)}; }
  static PackVector Low64(PackVector a, PackVector b) { return {_mm512_unpacklo_epi64(a.v, b.v)}; }
  static PackVector High64(PackVector a, PackVector b) { return {_mm512_unpackhi_epi64(a.v, b.v)}; }

  void Store(uint8_t* to) const { _mm512_storeu_si512(to, v); }
  /// The lower 16 bits of every row.
  void StoreLowHalves(uint8_t* to) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(v));
  }

  PackVector operator&(uint32_t mask) const { return {_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(mask)))}; }
  PackVector operator|(PackVector other) const { return {_mm512_or_si512(v, other.v)}; }
  PackVector operator^(PackVector other) const { return {_mm512_xor_si512(v, other.v)}; }
  PackVector operator<<(int count) const { return {_mm512_slli_epi32(v, static_cast<unsigned>(count))}; }
  PackVector operator>>(int count) const { return {_mm512_srli_epi32(v, static_cast<unsigned>(count))}; }
};

}  // namespace
}  // namespace octavo
