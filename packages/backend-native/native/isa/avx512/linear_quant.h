// What the AVX-512 and AMX kernels share. Included only by files compiled for AVX-512 (VNNI); everything is internal to
// each.
#pragma once

#include <immintrin.h>

#include "kernels/linear_quant_driver.h"

namespace octavo {
namespace {

/// Bytes of packed weights to ask for ahead of their use.
constexpr int64_t kPrefetchBytes = 4096;

inline __m512 LoadFloat16x16(const uint8_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

inline __m512 LoadUint8x16(const uint8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

inline __m512 LoadInt8x16(const uint8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

/// Scales of the 16 rows of one block: per half (the first alone where PartsOf is 1), and what is added to code *
/// scale.
struct Scales512 {
  __m512 parts[2];
  __m512 min;
};

/// Of a grouped weight, as stored.
inline __m512 LoadGroupScale(const QuantPanels& w, const uint8_t* from) {
  if (w.grouped.scale_format == Format::kFloat16) return LoadFloat16x16(from);
  if (w.grouped.scale_format == Format::kFloat32) return _mm512_loadu_ps(from);
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

template <ScaleKind kScales>
inline Scales512 LoadScales(const QuantPanels& w, const uint8_t* scales, int64_t b) {
  const uint8_t* at = scales + BlockScaleOffset(kScales, b);
  const __m512 none = _mm512_setzero_ps();
  if constexpr (kScales == ScaleKind::kBlockScale) {
    return {{LoadFloat16x16(at), none}, none};
  } else if constexpr (kScales == ScaleKind::kBlockScaleMin) {
    return {{LoadFloat16x16(at), none}, LoadFloat16x16(at + 32)};
  } else if constexpr (kScales == ScaleKind::kSuperScaleMin) {
    const uint8_t* shared = scales + SuperScaleOffset(kScales, b);
    const __m512 min = _mm512_mul_ps(LoadFloat16x16(shared + 32), LoadUint8x16(at + 16));
    return {{_mm512_mul_ps(LoadFloat16x16(shared), LoadUint8x16(at)), none}, _mm512_xor_ps(min, _mm512_set1_ps(-0.0f))};
  } else if constexpr (kScales == ScaleKind::kSuperHalves) {
    const __m512 d = LoadFloat16x16(scales + SuperScaleOffset(kScales, b));
    return {{_mm512_mul_ps(d, LoadInt8x16(at)), _mm512_mul_ps(d, LoadInt8x16(at + 16))}, none};
  } else {
    const __m512 first = LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 0));
    if constexpr (PartsOf(kScales) == 1) return {{first, none}, none};
    return {{first, LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 1))}, none};
  }
}

/// What is subtracted from the unsigned codes of a block.
template <ScaleKind kScales>
inline __m512i LoadZeros(const QuantPanels& w, const uint8_t* scales, int64_t b) {
  const uint8_t* at = scales + w.GroupOffset<kScales>(b, 0) + w.grouped.group_bytes - kPanelRows;
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

/// What narrow codes have too much once zeros are subtracted from them, which makes unsigned bytes of them.
constexpr int kZeroBias = 128;
constexpr int kZeroBiasBits = 7;

/// Subtracts a block's zeros, at most 128, from its narrow codes, and adds kZeroBias.
template <ScaleKind kScales>
inline void SubtractZeros(const QuantPanels& w, const uint8_t* scales, int64_t b, __m512i (&codes)[8]) {
  const uint8_t* at = scales + w.GroupOffset<kScales>(b, 0) + w.grouped.group_bytes - kPanelRows;
  const __m512i rows = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  // A row's zero four times, beside its codes.
  const __m512i four = _mm512_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303, 0x04040404, 0x05050505, 0x06060606,
                                         0x07070707, 0x08080808, 0x09090909, 0x0a0a0a0a, 0x0b0b0b0b, 0x0c0c0c0c,
                                         0x0d0d0d0d, 0x0e0e0e0e, 0x0f0f0f0f);
  const __m512i added = _mm512_sub_epi8(_mm512_set1_epi8(static_cast<char>(kZeroBias)), _mm512_shuffle_epi8(rows, four));
#pragma GCC unroll 8
  for (int g = 0; g < 8; g++) codes[g] = _mm512_add_epi8(codes[g], added);
}

/// As LoadScales, of the integers that LoadUnsigned and LoadSigned give.
template <PanelKind kKind>
inline Scales512 LoadIntegerScales(const QuantPanels& w, const uint8_t* scales, int64_t b) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  Scales512 out = LoadScales<kTraits.scales>(w, scales, b);
  if constexpr (kTraits.codes == CodeKind::kTable) {
    for (__m512& part : out.parts) part = _mm512_mul_ps(part, _mm512_set1_ps(w.grouped.unit));
  }
  return out;
}

/// The 8 code vectors of a narrow block, unsigned as packed.
template <int kBits>
inline void UnpackNarrow(const uint8_t* block, __m512i (&codes)[8]) {
  if constexpr (kBits < 4) {
    const __m512i pair = _mm512_set1_epi8(3);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++)
      codes[g] = _mm512_and_si512(_mm512_srli_epi16(_mm512_load_si512(block + 64 * (g / 4)), 2 * (g % 4)), pair);
  } else {
    const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
      const __m512i both = _mm512_load_si512(block + 64 * g);
      codes[g] = _mm512_and_si512(both, nibble);
      codes[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
  }
  if constexpr (kBits == 3) {
    const __m512i third = _mm512_load_si512(block + 128);
    const __m512i bit = _mm512_set1_epi8(4);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
      const __m512i shifted = g < 2 ? _mm512_slli_epi16(third, 2 - (g & 3)) : _mm512_srli_epi16(third, g < 2 ? 0 : g - 2);
      codes[g] = _mm512_or_si512(codes[g], _mm512_and_si512(shifted, bit));
    }
  }
  if constexpr (kBits == 5) {
    const __m512i fifth = _mm512_load_si512(block + 256);
    const __m512i bit = _mm512_set1_epi8(16);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
      const __m512i shifted = g < 4 ? _mm512_slli_epi16(fifth, 4 - (g & 3)) : _mm512_srli_epi16(fifth, g & 3);
      codes[g] = _mm512_or_si512(codes[g], _mm512_and_si512(shifted, bit));
    }
  }
  if constexpr (kBits == 6) {
    const __m512i pair = _mm512_set1_epi8(48);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
      const __m512i upper = _mm512_load_si512(block + 256 + 64 * (g / 4));
      const int j = g % 4;
      const __m512i shifted = j < 2 ? _mm512_slli_epi16(upper, 4 - 2 * j) : _mm512_srli_epi16(upper, 2 * j - 4);
      codes[g] = _mm512_or_si512(codes[g], _mm512_and_si512(shifted, pair));
    }
  }
}

/// A table's integers for packed codes.
inline void LookUp(const QuantPanels& w, int8_t bias, __m512i (&codes)[8]) {
  const __m128i once = _mm_load_si128(reinterpret_cast<const __m128i*>(w.grouped.table));
  const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(once, _mm_set1_epi8(bias)));
#pragma GCC unroll 8
  for (int g = 0; g < 8; g++) codes[g] = _mm512_shuffle_epi8(table, codes[g]);
}

/// Values as unsigned bytes, UnsignedBias above them.
template <PanelKind kKind>
inline void LoadUnsigned(const QuantPanels& w, const uint8_t* block, __m512i (&codes)[8]) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  if constexpr (kTraits.code_bits == 8) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) codes[g] = _mm512_xor_si512(_mm512_load_si512(block + 64 * g), _mm512_set1_epi8(-128));
  } else {
    UnpackNarrow<kTraits.code_bits>(block, codes);
    if constexpr (kTraits.codes == CodeKind::kTable) LookUp(w, -128, codes);
  }
}

/// Values as signed bytes; where there are zeros, before these are subtracted, and SignedZeroOffset less.
template <PanelKind kKind>
inline void LoadSigned(const QuantPanels& w, const uint8_t* block, __m512i (&codes)[8]) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  if constexpr (kTraits.code_bits == 8) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) codes[g] = _mm512_load_si512(block + 64 * g);
  } else {
    UnpackNarrow<kTraits.code_bits>(block, codes);
    if constexpr (kTraits.codes == CodeKind::kTable) LookUp(w, 0, codes);
    if constexpr (kTraits.offset != 0) {
#pragma GCC unroll 8
      for (int g = 0; g < 8; g++) codes[g] = _mm512_sub_epi8(codes[g], _mm512_set1_epi8(kTraits.offset));
    }
  }
}

template <PanelKind kKind>
inline void PrefetchBlock(const uint8_t* block) {
  constexpr int kLines = TraitsOf(kKind).code_bits;
#pragma GCC unroll 8
  for (int i = 0; i < kLines; i++)
    _mm_prefetch(reinterpret_cast<const char*>(block + kPrefetchBytes + 64 * i), _MM_HINT_T0);
}

inline __m512i Broadcast4(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm512_set1_epi32(four);
}

/// Blocks [begin, end) of a panel times kTokens tokens of a tile, the first of them `token`; sums [kTokens][16] in and
/// out. A function of its own: the sums of 16 tokens leave no register for anybody else.
template <PanelKind kKind, int kTokens>
[[gnu::noinline]] void AddBlocksVnni(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end,
                          const QuantizedActivations& x, int64_t tile, int64_t token, float (*sums)[16]) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int kParts = PartsOf(kTraits.scales);
  // Few tokens: two chains each, or the latency of one would show.
  constexpr bool kTwoChains = kParts == 2 || kTokens <= 2;
  // With more tokens it is cheaper to subtract zeros from the codes, once, than from each token's sums.
  constexpr bool kNarrowZeros = HasZeros(kTraits.scales) && kTraits.code_bits < 8;
  constexpr bool kZerosFirst = kNarrowZeros && kTokens >= 4;
  const int64_t tokens = x.TokensOf(tile);
  const int64_t part_stride = x.n * x.blocks;
  const uint8_t* block = w.Codes(panel) + begin * CodeBytesPerBlock(kTraits.code_bits);
  const uint8_t* scales = w.Scales(panel);
  __m512 acc[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; t++) acc[t] = _mm512_load_ps(sums[t]);
  for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits)) {
    const int64_t at = tile * kTileTokens * x.blocks + b * tokens + token;
    const int8_t* x_codes = x.codes + at * 32;
    PrefetchBlock<kKind>(block);
    __m512i codes[8];
    LoadUnsigned<kKind>(w, block, codes);
    const Scales512 scale = LoadIntegerScales<kKind>(w, scales, b);
    __m512i zeros = _mm512_setzero_si512();
    if constexpr (kZerosFirst) {
      SubtractZeros<kTraits.scales>(w, scales, b, codes);
    } else if constexpr (HasZeros(kTraits.scales)) {
      zeros = LoadZeros<kTraits.scales>(w, scales, b);
    }
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; t++) {
      const __m512 x_scale = _mm512_set1_ps(x.scales[at + t]);
      __m512i first = _mm512_setzero_si512();
      if constexpr (HasZeros(kTraits.scales) && !kZerosFirst) {
        // Less the zero times the sum of the token's codes: both fit 16 bits, and a zero's upper half is none.
        const int32_t correction = x.corrections[at + t] >> (kNarrowZeros ? kZeroBiasBits : 0);
        first = _mm512_dpwssd_epi32(first, zeros, _mm512_set1_epi32(correction));
      } else if constexpr (kZerosFirst || UnsignedBias(kTraits) != 0) {
        first = _mm512_set1_epi32(x.corrections[at + t]);
      }
#pragma GCC unroll 4
      for (int g = 0; g < 4; g++) first = _mm512_dpbusd_epi32(first, codes[g], Broadcast4(x_codes + 32 * t + 4 * g));
      __m512i second = kTwoChains ? _mm512_setzero_si512() : first;
      if constexpr (kParts == 2) second = _mm512_set1_epi32(x.corrections[part_stride + at + t]);
#pragma GCC unroll 4
      for (int g = 4; g < 8; g++) second = _mm512_dpbusd_epi32(second, codes[g], Broadcast4(x_codes + 32 * t + 4 * g));
      if constexpr (kParts == 2) {
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), _mm512_mul_ps(scale.parts[0], x_scale), acc[t]);
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), _mm512_mul_ps(scale.parts[1], x_scale), acc[t]);
      } else {
        const __m512i dot = kTwoChains ? _mm512_add_epi32(first, second) : second;
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale.parts[0], x_scale), acc[t]);
      }
      if constexpr (HasMin(kTraits.scales))
        acc[t] = _mm512_fmadd_ps(_mm512_set1_ps(x.scaled_sums[at + t]), scale.min, acc[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; t++) _mm512_store_ps(sums[t], acc[t]);
}

/// As AddBlocksVnni for all tokens of the tile from `token` on.
template <PanelKind kKind>
void AddTileVnni(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, const QuantizedActivations& x,
                 int64_t tile, float (*sums)[16]) {
  const int64_t tokens = x.TokensOf(tile);
  if (tokens == kTileTokens) return AddBlocksVnni<kKind, kTileTokens>(w, panel, begin, end, x, tile, 0, sums);
  int64_t token = 0;
  for (; tokens - token >= 8; token += 8) AddBlocksVnni<kKind, 8>(w, panel, begin, end, x, tile, token, sums + token);
  switch (tokens - token) {
    case 1:
      return AddBlocksVnni<kKind, 1>(w, panel, begin, end, x, tile, token, sums + token);
    case 2:
      return AddBlocksVnni<kKind, 2>(w, panel, begin, end, x, tile, token, sums + token);
    case 3:
      return AddBlocksVnni<kKind, 3>(w, panel, begin, end, x, tile, token, sums + token);
    case 4:
      return AddBlocksVnni<kKind, 4>(w, panel, begin, end, x, tile, token, sums + token);
    case 5:
      return AddBlocksVnni<kKind, 5>(w, panel, begin, end, x, tile, token, sums + token);
    case 6:
      return AddBlocksVnni<kKind, 6>(w, panel, begin, end, x, tile, token, sums + token);
    case 7:
      return AddBlocksVnni<kKind, 7>(w, panel, begin, end, x, tile, token, sums + token);
    default:
      return;
  }
}

}  // namespace

/// AddTileVnni of any kind: defined in avx512.cc alone, since its variants are many.
void AddTileAvx512(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, const QuantizedActivations& x, int64_t tile,
                   float (*sums)[16]);

namespace {

struct Output512 {
  static constexpr int64_t kDriverPanels = 8;
  static constexpr int64_t kWholeKTokens = 8;

  static void StoreRows(const QuantTask& task, int64_t rows, int64_t panel, int64_t token, const float* sums) {
    const int64_t first = panel * kPanelRows;
    const __mmask16 mask = static_cast<__mmask16>(rows - first < kPanelRows ? (1u << (rows - first)) - 1 : 0xffffu);
    __m512 sum = _mm512_load_ps(sums);
    if (task.bias != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, task.bias + first));
    _mm512_mask_storeu_ps(task.At(token, panel), mask, sum);
  }

  /// Asks for what StoreRows will write: by then it is in the second-level cache.
  static void PrefetchOutput(const QuantTask& task, int64_t panel0, int64_t panel1, int64_t token0, int64_t tokens) {
    for (int64_t t = token0; t < token0 + tokens; t++) {
      for (int64_t panel = panel0; panel < panel1; panel++) {
        _mm_prefetch(reinterpret_cast<const char*>(task.At(t, panel)), _MM_HINT_T1);
      }
    }
  }
};

}  // namespace
}  // namespace octavo
