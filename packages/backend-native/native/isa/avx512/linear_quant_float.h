#pragma once

#include "isa/avx512/linear_quant.h"

namespace octavo {

namespace {

/// totals [kTokens][16] += weights [count][16] x kTokens rows of x.
template <int kTokens>
inline void AddChunk(const float* weights, const float* x, int64_t stride, int64_t count, float (*totals)[16]) {
  __m512 sums[4][kTokens];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
#pragma GCC unroll 6
    for (int t = 0; t < kTokens; t++) sums[i][t] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < count; k += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const __m512 weight = _mm512_load_ps(weights + 16 * (k + i));
#pragma GCC unroll 6
      for (int t = 0; t < kTokens; t++)
        sums[i][t] = _mm512_fmadd_ps(_mm512_set1_ps(x[t * stride + k + i]), weight, sums[i][t]);
    }
  }
#pragma GCC unroll 6
  for (int t = 0; t < kTokens; t++) {
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[0][t], sums[1][t]), _mm512_add_ps(sums[2][t], sums[3][t]));
    _mm512_store_ps(totals[t], _mm512_add_ps(_mm512_load_ps(totals[t]), sum));
  }
}

/// One block, to be widened column by column.
template <PanelKind kKind>
struct Weights512 {
  static constexpr PanelTraits kTraits = TraitsOf(kKind);
  Scales512 scale;
  __m512i codes[8];
  __m512i zeros;
  __m512 table;

  Weights512(const QuantPanels& w, const uint8_t* scales, const uint8_t* block, int64_t b)
      : scale(LoadScales<kTraits.scales>(w, scales, b)), zeros(_mm512_setzero_si512()), table(_mm512_setzero_ps()) {
    if constexpr (kTraits.codes == CodeKind::kTable || kTraits.codes == CodeKind::kFloatTable) {
      UnpackNarrow<kTraits.code_bits>(block, codes);
      table = _mm512_loadu_ps(w.grouped.values);
    } else {
      LoadSigned<kKind>(w, block, codes);
    }
    if constexpr (HasZeros(kTraits.scales)) {
      zeros = _mm512_sub_epi32(LoadZeros<kTraits.scales>(w, scales, b), _mm512_set1_epi32(SignedZeroOffset(kTraits)));
    }
  }

  /// Column 4 * g + i of the 16 rows.
  __m512 At(int g, int i) const {
    const __m512 part = scale.parts[PartsOf(kTraits.scales) == 2 ? g / 4 : 0];
    const __m512i top = _mm512_slli_epi32(codes[g], static_cast<unsigned>(24 - 8 * i));
    if constexpr (kTraits.codes == CodeKind::kTable || kTraits.codes == CodeKind::kFloatTable) {
      // Only the lowest four bits of an index count.
      const __m512i index = _mm512_srli_epi32(codes[g], static_cast<unsigned>(8 * i));
      return _mm512_mul_ps(_mm512_permutexvar_ps(index, table), part);
    } else if constexpr (kTraits.codes == CodeKind::kE4m3) {
      // Its bits where those of a float32 lie, whose exponents begin 120 lower.
      const __m512i bits = _mm512_and_si512(_mm512_srai_epi32(top, 4), _mm512_set1_epi32(static_cast<int>(0x87f00000u)));
      return _mm512_mul_ps(_mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p120f)), part);
    } else {
      const __m512i code = _mm512_srai_epi32(top, 24);
      const __m512 value = _mm512_cvtepi32_ps(HasZeros(kTraits.scales) ? _mm512_sub_epi32(code, zeros) : code);
      return HasMin(kTraits.scales) ? _mm512_fmadd_ps(value, part, scale.min) : _mm512_mul_ps(value, part);
    }
  }
};

struct Avx512Quant : Output512 {
  template <PanelKind kKind>
  static void AddPanel(const QuantPanels& w, const QuantizedActivations& x, int64_t panel, int64_t begin, int64_t end,
                       int64_t tile0, int64_t tile1, float (*sums)[16]) {
    for (int64_t tile = tile0; tile < tile1; tile++)
      AddTileVnni<kKind>(w, panel, begin, end, x, tile, sums + (tile - tile0) * kTileTokens);
  }

  /// Widened weights of blocks [begin, end), [k][16 rows].
  template <PanelKind kKind>
  static void WidenChunk(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, float* out) {
    constexpr PanelTraits kTraits = TraitsOf(kKind);
    const uint8_t* block = w.Codes(panel) + begin * CodeBytesPerBlock(kTraits.code_bits);
    for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits), out += 512) {
      PrefetchBlock<kKind>(block);
      Weights512<kKind> weights(w, w.Scales(panel), block, b);
#pragma GCC unroll 8
      for (int g = 0; g < 8; g++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) _mm512_store_ps(out + 16 * (4 * g + i), weights.At(g, i));
      }
    }
  }

  static void AddChunkTokens(const float* weights, const float* x, int64_t stride, int64_t count, int64_t tokens,
                      float (*totals)[16]) {
    int64_t t = 0;
    for (; tokens - t >= 6; t += 6) AddChunk<6>(weights, x + t * stride, stride, count, totals + t);
    switch (tokens - t) {
      case 1:
        return AddChunk<1>(weights, x + t * stride, stride, count, totals + t);
      case 2:
        return AddChunk<2>(weights, x + t * stride, stride, count, totals + t);
      case 3:
        return AddChunk<3>(weights, x + t * stride, stride, count, totals + t);
      case 4:
        return AddChunk<4>(weights, x + t * stride, stride, count, totals + t);
      case 5:
        return AddChunk<5>(weights, x + t * stride, stride, count, totals + t);
      default:
        return;
    }
  }
};

}  // namespace
}  // namespace octavo
