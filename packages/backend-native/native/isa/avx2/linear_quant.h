#pragma once

#include <immintrin.h>

#include "kernels/linear_quant_driver.h"

namespace octavo {

namespace {

// A vector is half a group: 8 rows x 4 k. Both halves of a panel take turns at a stretch of k that stays in the
// first-level cache.

inline __m256 LoadFloat16x8(const uint8_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

inline __m256 LoadUint8x8(const uint8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

inline __m256 LoadInt8x8(const uint8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

inline __m256i LoadBytes(const uint8_t* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

/// Scales of 8 rows of one block: per half of k (the first alone where PartsOf is 1), and what is added to code *
/// scale.
struct Scales256 {
  __m256 parts[2];
  __m256 min;
};

/// Of a grouped weight, as stored. `row`: the first of the eight.
inline __m256 LoadGroupScale(const QuantPanels& w, const uint8_t* from, int64_t row) {
  if (w.grouped.scale_format == Format::kFloat16) return LoadFloat16x8(from + 2 * row);
  if (w.grouped.scale_format == Format::kFloat32) return _mm256_loadu_ps(reinterpret_cast<const float*>(from) + row);
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 2 * row));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/// `rows`: 0 or 8, the first of the eight.
template <ScaleKind kScales>
inline Scales256 LoadScales(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t rows) {
  const uint8_t* at = scales + BlockScaleOffset(kScales, b);
  const __m256 none = _mm256_setzero_ps();
  if constexpr (kScales == ScaleKind::kBlockScale) {
    return {{LoadFloat16x8(at + 2 * rows), none}, none};
  } else if constexpr (kScales == ScaleKind::kBlockScaleMin) {
    return {{LoadFloat16x8(at + 2 * rows), none}, LoadFloat16x8(at + 32 + 2 * rows)};
  } else if constexpr (kScales == ScaleKind::kSuperScaleMin) {
    const uint8_t* shared = scales + SuperScaleOffset(kScales, b) + 2 * rows;
    const __m256 min = _mm256_mul_ps(LoadFloat16x8(shared + 32), LoadUint8x8(at + 16 + rows));
    return {{_mm256_mul_ps(LoadFloat16x8(shared), LoadUint8x8(at + rows)), none},
            _mm256_xor_ps(min, _mm256_set1_ps(-0.0f))};
  } else if constexpr (kScales == ScaleKind::kSuperHalves) {
    const __m256 d = LoadFloat16x8(scales + SuperScaleOffset(kScales, b) + 2 * rows);
    return {{_mm256_mul_ps(d, LoadInt8x8(at + rows)), _mm256_mul_ps(d, LoadInt8x8(at + 16 + rows))}, none};
  } else {
    const __m256 first = LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 0), rows);
    if constexpr (PartsOf(kScales) == 1) return {{first, none}, none};
    return {{first, LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 1), rows)}, none};
  }
}

/// What is subtracted from the values that LoadValues gives.
template <PanelKind kKind>
inline __m256i LoadZeros(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t rows) {
  const uint8_t* at = scales + w.GroupOffset<TraitsOf(kKind).scales>(b, 0) + w.grouped.group_bytes - kPanelRows + rows;
  const __m256i zeros = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
  return _mm256_sub_epi32(zeros, _mm256_set1_epi32(SignedZeroOffset(TraitsOf(kKind))));
}

/// The code vector of group `g`, as packed (8 bits: signed, else unsigned). `block` points at the half.
template <int kBits>
inline __m256i LoadCodes(const uint8_t* block, int g) {
  if constexpr (kBits == 8) return LoadBytes(block + 64 * g);
  if constexpr (kBits < 4) {
    __m256i codes = _mm256_srli_epi16(LoadBytes(block + 64 * (g / 4)), 2 * (g & 3));
    codes = _mm256_and_si256(codes, _mm256_set1_epi8(3));
    if constexpr (kBits == 2) return codes;
    const __m256i third = LoadBytes(block + 128);
    const __m256i shifted = g < 2 ? _mm256_slli_epi16(third, 2 - g) : _mm256_srli_epi16(third, g - 2);
    return _mm256_or_si256(codes, _mm256_and_si256(shifted, _mm256_set1_epi8(4)));
  }
  const __m256i both = LoadBytes(block + 64 * (g & 3));
  __m256i codes = _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
  if constexpr (kBits == 5) {
    const __m256i fifth = LoadBytes(block + 256);
    const __m256i shifted = g < 4 ? _mm256_slli_epi16(fifth, 4 - g) : _mm256_srli_epi16(fifth, g - 4);
    codes = _mm256_or_si256(codes, _mm256_and_si256(shifted, _mm256_set1_epi8(16)));
  }
  if constexpr (kBits == 6) {
    const __m256i upper = LoadBytes(block + 256 + 64 * (g / 4));
    const int j = g & 3;
    const __m256i shifted = j < 2 ? _mm256_slli_epi16(upper, 4 - 2 * j) : _mm256_srli_epi16(upper, 2 * j - 4);
    codes = _mm256_or_si256(codes, _mm256_and_si256(shifted, _mm256_set1_epi8(48)));
  }
  return codes;
}

/// As LoadCodes, a table's integers looked up.
template <PanelKind kKind>
inline __m256i LoadValues(const QuantPanels& w, const uint8_t* block, int g) {
  const __m256i codes = LoadCodes<TraitsOf(kKind).code_bits>(block, g);
  if constexpr (TraitsOf(kKind).codes != CodeKind::kTable) return codes;
  const __m128i table = _mm_load_si128(reinterpret_cast<const __m128i*>(w.grouped.table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
}

inline __m256i Broadcast4(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm256_set1_epi32(four);
}

/// Sums of pairs of products as int16. 8 bits: |w| * (x with w's sign), at most 2 * 128 * 127; else at most 2 * 63 *
/// 127: neither saturates.
template <int kBits>
inline __m256i MultiplyPairs(__m256i w, __m256i x) {
  if constexpr (kBits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_maddubs_epi16(w, x);
}

/// How many int16 pair sums of `bits`-bit codes fit int16: 2 * (2^bits - 1) * 127 each.
constexpr int PairSumsThatFit(int bits) {
  return bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/// Groups [kBegin, kEnd) of one block's codes times one token's, exactly, as int32 per row.
template <int kBits, int kBegin, int kEnd>
inline __m256i DotGroups(const __m256i (&codes)[8], const int8_t* x) {
  constexpr int kFit = PairSumsThatFit(kBits);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256();
  __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int g = kBegin; g < kEnd; g++) {
    const __m256i more = MultiplyPairs<kBits>(codes[g], Broadcast4(x + 4 * g));
    pairs = (g - kBegin) % kFit == 0 ? more : _mm256_add_epi16(pairs, more);
    if ((g - kBegin) % kFit == kFit - 1 || g == kEnd - 1) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
  }
  return sum;
}

/// Blocks [begin, end) of 8 rows of a panel times kTokens tokens; sums [kTokens][16] in and out.
template <PanelKind kKind, int kTokens>
inline void AddBlocks(const QuantPanels& w, int64_t panel, int64_t rows, int64_t begin, int64_t end,
                      const QuantizedActivations& x, int64_t tile, int64_t token, float (*sums)[16]) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int kParts = PartsOf(kTraits.scales);
  constexpr int kSplit = kParts == 2 ? 4 : 8;
  const int64_t tokens = x.TokensOf(tile);
  const int64_t part_stride = x.n * x.blocks;
  const uint8_t* block = w.Codes(panel) + begin * CodeBytesPerBlock(kTraits.code_bits) + 4 * rows;
  __m256 acc[kTokens];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; t++) acc[t] = _mm256_load_ps(sums[t] + rows);
  for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits)) {
    const int64_t at = tile * kTileTokens * x.blocks + b * tokens + token;
    __m256i codes[8];
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) codes[g] = LoadValues<kKind>(w, block, g);
    Scales256 scale = LoadScales<kTraits.scales>(w, w.Scales(panel), b, rows);
    if constexpr (kTraits.codes == CodeKind::kTable) {
      for (__m256& part : scale.parts) part = _mm256_mul_ps(part, _mm256_set1_ps(w.grouped.unit));
    }
    __m256i zeros = _mm256_setzero_si256();
    if constexpr (HasZeros(kTraits.scales)) zeros = LoadZeros<kKind>(w, w.Scales(panel), b, rows);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; t++) {
      const int8_t* x_codes = x.codes + (at + t) * 32;
      const __m256 x_scale = _mm256_set1_ps(x.scales[at + t]);
      __m256i dot = DotGroups<ValueBits(kTraits), 0, kSplit>(codes, x_codes);
      const __m256i correction = _mm256_set1_epi32(x.corrections[at + t]);
      // Both fit 16 bits. A zero below 0 has an upper half too, which must meet nothing.
      if constexpr (HasZeros(kTraits.scales))
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(zeros, _mm256_and_si256(correction, _mm256_set1_epi32(0xffff))));
      if constexpr (kTraits.offset != 0) dot = _mm256_add_epi32(dot, correction);
      acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale.parts[0], x_scale), acc[t]);
      if constexpr (kParts == 2) {
        __m256i second = DotGroups<ValueBits(kTraits), kSplit, 8>(codes, x_codes);
        if constexpr (kTraits.offset != 0)
          second = _mm256_add_epi32(second, _mm256_set1_epi32(x.corrections[part_stride + at + t]));
        acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(second), _mm256_mul_ps(scale.parts[1], x_scale), acc[t]);
      }
      if constexpr (HasMin(kTraits.scales))
        acc[t] = _mm256_fmadd_ps(_mm256_set1_ps(x.scaled_sums[at + t]), scale.min, acc[t]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; t++) _mm256_store_ps(sums[t] + rows, acc[t]);
}

template <PanelKind kKind>
void AddTile(const QuantPanels& w, int64_t panel, int64_t rows, int64_t begin, int64_t end,
             const QuantizedActivations& x, int64_t tile, float (*sums)[16]) {
  const int64_t tokens = x.TokensOf(tile);
  int64_t token = 0;
  for (; tokens - token >= 4; token += 4)
    AddBlocks<kKind, 4>(w, panel, rows, begin, end, x, tile, token, sums + token);
  switch (tokens - token) {
    case 1:
      return AddBlocks<kKind, 1>(w, panel, rows, begin, end, x, tile, token, sums + token);
    case 2:
      return AddBlocks<kKind, 2>(w, panel, rows, begin, end, x, tile, token, sums + token);
    case 3:
      return AddBlocks<kKind, 3>(w, panel, rows, begin, end, x, tile, token, sums + token);
    default:
      return;
  }
}

/// totals [kTokens][16], 8 rows of them, += weights [count][16] x kTokens rows of x.
template <int kTokens>
inline void AddChunk(const float* weights, const float* x, int64_t stride, int64_t count, float (*totals)[16],
                     int64_t rows) {
  __m256 sums[4][kTokens];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
#pragma GCC unroll 3
    for (int t = 0; t < kTokens; t++) sums[i][t] = _mm256_setzero_ps();
  }
  for (int64_t k = 0; k < count; k += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const __m256 weight = _mm256_load_ps(weights + 16 * (k + i) + rows);
#pragma GCC unroll 3
      for (int t = 0; t < kTokens; t++)
        sums[i][t] = _mm256_fmadd_ps(_mm256_set1_ps(x[t * stride + k + i]), weight, sums[i][t]);
    }
  }
#pragma GCC unroll 3
  for (int t = 0; t < kTokens; t++) {
    const __m256 sum = _mm256_add_ps(_mm256_add_ps(sums[0][t], sums[1][t]), _mm256_add_ps(sums[2][t], sums[3][t]));
    _mm256_store_ps(totals[t] + rows, _mm256_add_ps(_mm256_load_ps(totals[t] + rows), sum));
  }
}

/// One block of 8 rows, to be widened column by column.
template <PanelKind kKind>
struct Weights256 {
  static constexpr PanelTraits kTraits = TraitsOf(kKind);
  static constexpr bool kIsTable = kTraits.codes == CodeKind::kTable || kTraits.codes == CodeKind::kFloatTable;
  Scales256 scale;
  __m256i zeros;
  __m256 table[2];

  Weights256(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t rows)
      : scale(LoadScales<kTraits.scales>(w, scales, b, rows)), zeros(_mm256_set1_epi32(kTraits.offset)) {
    if constexpr (HasZeros(kTraits.scales)) zeros = LoadZeros<kKind>(w, scales, b, rows);
    table[0] = kIsTable ? _mm256_loadu_ps(w.grouped.values) : _mm256_setzero_ps();
    table[1] = kIsTable ? _mm256_loadu_ps(w.grouped.values + 8) : _mm256_setzero_ps();
  }

  /// Column 4 * g + i of the 8 rows.
  __m256 At(__m256i codes, int g, int i) const {
    const __m256 part = scale.parts[PartsOf(kTraits.scales) == 2 ? g / 4 : 0];
    const __m256i top = _mm256_slli_epi32(codes, 24 - 8 * i);
    if constexpr (kIsTable) {
      // Only the lowest three bits of an index count; the fourth one chooses the half.
      const __m256i index = _mm256_srli_epi32(codes, 8 * i);
      const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
      const __m256 value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(table[0], index),
                                            _mm256_permutevar8x32_ps(table[1], index), upper);
      return _mm256_mul_ps(value, part);
    } else if constexpr (kTraits.codes == CodeKind::kE4m3) {
      // Its bits where those of a float32 lie, whose exponents begin 120 lower.
      const __m256i bits = _mm256_and_si256(_mm256_srai_epi32(top, 4), _mm256_set1_epi32(static_cast<int>(0x87f00000u)));
      return _mm256_mul_ps(_mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p120f)), part);
    } else {
      const __m256 value = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srai_epi32(top, 24), zeros));
      return HasMin(kTraits.scales) ? _mm256_fmadd_ps(value, part, scale.min) : _mm256_mul_ps(value, part);
    }
  }
};

struct Avx2Quant : PlainOutput {
  template <PanelKind kKind>
  static void AddPanel(const QuantPanels& w, const QuantizedActivations& x, int64_t panel, int64_t begin, int64_t end,
                       int64_t tile0, int64_t tile1, float (*sums)[16]) {
    for (int64_t rows = 0; rows < kPanelRows; rows += 8) {
      for (int64_t tile = tile0; tile < tile1; tile++)
        AddTile<kKind>(w, panel, rows, begin, end, x, tile, sums + (tile - tile0) * kTileTokens);
    }
  }

  /// Widened weights of blocks [begin, end), [k][16 rows].
  template <PanelKind kKind>
  static void WidenChunk(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, float* out) {
    constexpr PanelTraits kTraits = TraitsOf(kKind);
    for (int64_t b = begin; b < end; b++, out += 512) {
      for (int64_t rows = 0; rows < kPanelRows; rows += 8) {
        const uint8_t* block = w.Codes(panel) + b * CodeBytesPerBlock(kTraits.code_bits) + 4 * rows;
        const Weights256<kKind> weights(w, w.Scales(panel), b, rows);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
          const __m256i codes = LoadCodes<kTraits.code_bits>(block, g);
#pragma GCC unroll 4
          for (int i = 0; i < 4; i++) _mm256_store_ps(out + 16 * (4 * g + i) + rows, weights.At(codes, g, i));
        }
      }
    }
  }

  static void AddChunkTokens(const float* weights, const float* x, int64_t stride, int64_t count, int64_t tokens,
                      float (*totals)[16]) {
    for (int64_t rows = 0; rows < kPanelRows; rows += 8) {
      int64_t t = 0;
      for (; tokens - t >= 3; t += 3) AddChunk<3>(weights, x + t * stride, stride, count, totals + t, rows);
      if (tokens - t == 2) AddChunk<2>(weights, x + t * stride, stride, count, totals + t, rows);
      if (tokens - t == 1) AddChunk<1>(weights, x + t * stride, stride, count, totals + t, rows);
    }
  }
};

}  // namespace
}  // namespace octavo
