// Vectors of sixteen floats: AVX-512. The interface is that of isa/scalar/vec.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace octavo {

struct VecAvx512 {
  static constexpr int kWidth = 16;
  /// 16 accumulators, two vectors and a broadcast of 32 registers; eight rows are often the query heads of a token.
  static constexpr int kTileRows = 8;
  static constexpr int kTileVecs = 2;

  using Reg = __m512;
  using Mask = __mmask16;

  static Reg Set(float value) { return _mm512_set1_ps(value); }
  static Reg Zero() { return _mm512_setzero_ps(); }
  static Reg Load(const float* from) { return _mm512_loadu_ps(from); }
  static Reg LoadPart(const float* from, int count) { return _mm512_maskz_loadu_ps(Lanes(0, count), from); }
  static Reg LoadBfloat16(const uint16_t* from) { return LoadBfloat16Part(from, kWidth); }
  static Reg LoadBfloat16Part(const uint16_t* from, int count) {
    const __m256i values = count == kWidth ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))
                                           : _mm256_maskz_loadu_epi16(Lanes(0, count), from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
  }
  static Reg LoadInt8(const int8_t* from) { return LoadInt8Part(from, kWidth); }
  static Reg LoadInt8Part(const int8_t* from, int count) {
    const __m128i values = count == kWidth ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(from))
                                           : _mm_maskz_loadu_epi8(Lanes(0, count), from);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values));
  }
  static void Store(float* to, Reg r) { _mm512_storeu_ps(to, r); }
  static void StorePart(float* to, Reg r, int count) { _mm512_mask_storeu_ps(to, Lanes(0, count), r); }

  static Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg Div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg Fnma(Reg a, Reg b, Reg c) { return _mm512_fnmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg Min(Reg a, Reg b) { return _mm512_min_ps(a, b); }
  static Reg Abs(Reg a) { return _mm512_abs_ps(a); }
  static Reg CopySign(Reg magnitude, Reg sign) {
    const Reg bit = Set(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
  }
  static Reg Round(Reg a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Reg ScaleByPowerOfTwo(Reg a, Reg n) { return _mm512_scalef_ps(a, n); }
  static Reg ExponentOf(Reg a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23)); }

  static Mask Less(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask Lanes(int64_t begin, int64_t end) { return static_cast<Mask>(Below(end) & ~Below(begin)); }
  static Reg Select(Mask m, Reg yes, Reg no) { return _mm512_mask_blend_ps(m, no, yes); }

  static float ReduceAdd(Reg a) {
    const __m256 r = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  static float ReduceMax(Reg a) {
    const __m256 r = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }
  static void ReduceMaxRows(float* to, const Reg (&rows)[kTileRows]) {
    static_assert(kTileRows == 8, "the tree has eight leaves");
    // Two rows side by side in 64 bits, then four in a 128-bit lane, then the lanes: lane i of the last holds row i.
    Reg pairs[4];
    for (int i = 0; i < 4; i++) {
      pairs[i] = Max(_mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]), _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]));
    }
    Reg quads[2];
    for (int i = 0; i < 2; i++) {
      quads[i] = Max(_mm512_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0x44), _mm512_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0xee));
    }
    const Reg halves = Max(_mm512_shuffle_f32x4(quads[0], quads[1], 0x44), _mm512_shuffle_f32x4(quads[0], quads[1], 0xee));
    Store(to, Max(_mm512_shuffle_f32x4(halves, halves, 0x08), _mm512_shuffle_f32x4(halves, halves, 0x0d)));
  }
  static float First(Reg a) { return _mm512_cvtss_f32(a); }

  static void Transpose(Reg (&rows)[kWidth]) {
    // 4 x 4 blocks within the 128-bit lanes first: quads[4 g + c] holds column c of rows 4 g .. 4 g + 3, lane by lane.
    Reg quads[16];
    for (int g = 0; g < 16; g += 4) {
      const Reg low01 = _mm512_unpacklo_ps(rows[g], rows[g + 1]);
      const Reg high01 = _mm512_unpackhi_ps(rows[g], rows[g + 1]);
      const Reg low23 = _mm512_unpacklo_ps(rows[g + 2], rows[g + 3]);
      const Reg high23 = _mm512_unpackhi_ps(rows[g + 2], rows[g + 3]);
      quads[g] = _mm512_shuffle_ps(low01, low23, 0x44);
      quads[g + 1] = _mm512_shuffle_ps(low01, low23, 0xee);
      quads[g + 2] = _mm512_shuffle_ps(high01, high23, 0x44);
      quads[g + 3] = _mm512_shuffle_ps(high01, high23, 0xee);
    }
    // Then the 4 x 4 transpose of whole lanes.
    for (int c = 0; c < 4; c++) {
      const Reg even01 = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0x88);
      const Reg odd01 = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0xdd);
      const Reg even23 = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0x88);
      const Reg odd23 = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0xdd);
      rows[c] = _mm512_shuffle_f32x4(even01, even23, 0x88);
      rows[8 + c] = _mm512_shuffle_f32x4(even01, even23, 0xdd);
      rows[4 + c] = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
      rows[12 + c] = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
    }
  }
  static void Prefetch(const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1); }

 private:
  static unsigned Below(int64_t count) {
    if (count <= 0) return 0u;
    return count >= kWidth ? 0xffffu : (1u << count) - 1u;
  }
};

}  // namespace octavo
