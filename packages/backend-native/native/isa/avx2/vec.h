// Vectors of eight floats: AVX2 with fused multiply-add. The interface is that of isa/scalar/vec.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace octavo {

struct VecAvx2 {
  static constexpr int kWidth = 8;
  /// 12 accumulators, two vectors and a broadcast of 16 registers.
  static constexpr int kTileRows = 6;
  static constexpr int kTileVecs = 2;

  using Reg = __m256;
  using Mask = __m256;  // all bits of a lane

  static Reg Set(float value) { return _mm256_set1_ps(value); }
  static Reg Zero() { return _mm256_setzero_ps(); }
  static Reg Load(const float* from) { return _mm256_loadu_ps(from); }
  static Reg LoadPart(const float* from, int count) {
    if (count == kWidth) return Load(from);
    return _mm256_maskload_ps(from, FirstLanes(count));
  }
  static Reg LoadBfloat16(const uint16_t* from) {
    return WidenBfloat16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Reg LoadBfloat16Part(const uint16_t* from, int count) {
    if (count == kWidth) return LoadBfloat16(from);
    uint16_t lanes[kWidth] = {};
    std::memcpy(lanes, from, sizeof(uint16_t) * static_cast<size_t>(count));
    return LoadBfloat16(lanes);
  }
  static Reg LoadInt8(const int8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  static Reg LoadInt8Part(const int8_t* from, int count) {
    if (count == kWidth) return LoadInt8(from);
    int8_t lanes[kWidth] = {};
    std::memcpy(lanes, from, static_cast<size_t>(count));
    return LoadInt8(lanes);
  }
  static void Store(float* to, Reg r) { _mm256_storeu_ps(to, r); }
  static void StorePart(float* to, Reg r, int count) {
    if (count == kWidth) return Store(to, r);
    _mm256_maskstore_ps(to, FirstLanes(count), r);
  }

  static Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg Div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg Fnma(Reg a, Reg b, Reg c) { return _mm256_fnmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg Min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  static Reg Abs(Reg a) { return _mm256_andnot_ps(Set(-0.0f), a); }
  static Reg CopySign(Reg magnitude, Reg sign) {
    const Reg bit = Set(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
  }
  static Reg Round(Reg a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Reg ScaleByPowerOfTwo(Reg a, Reg n) {
    // Two factors: n may lie outside the exponents of normal numbers.
    const __m256i exponent = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    const __m256i rest = _mm256_sub_epi32(exponent, half);
    return Mul(Mul(a, PowerOfTwo(half)), PowerOfTwo(rest));
  }
  static Reg ExponentOf(Reg a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23)); }

  static Mask Less(Reg a, Reg b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Mask Lanes(int64_t begin, int64_t end) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i from_begin = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(static_cast<int>(begin) - 1));
    const __m256i before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(end)), lane);
    return _mm256_castsi256_ps(_mm256_and_si256(from_begin, before_end));
  }
  static Reg Select(Mask m, Reg yes, Reg no) { return _mm256_blendv_ps(no, yes, m); }

  static float ReduceAdd(Reg a) {
    __m128 r = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    r = _mm_add_ps(r, _mm_movehl_ps(r, r));
    return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
  }
  static float ReduceMax(Reg a) {
    __m128 r = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    r = _mm_max_ps(r, _mm_movehl_ps(r, r));
    return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
  }
  static void ReduceMaxRows(float* to, const Reg (&rows)[kTileRows]) {
    for (int i = 0; i < kTileRows; i++) to[i] = ReduceMax(rows[i]);
  }
  static float First(Reg a) { return _mm256_cvtss_f32(a); }

  static void Transpose(Reg (&rows)[kWidth]) {
    Reg pairs[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    Reg quads[8];
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; j++) {
        quads[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
        quads[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
      }
    }
    for (int i = 0; i < 4; i++) {
      rows[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    }
  }
  static void Prefetch(const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1); }

 private:
  static __m256i FirstLanes(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Reg WidenBfloat16(__m128i values) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
  }
  static Reg PowerOfTwo(__m256i exponent) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace octavo
