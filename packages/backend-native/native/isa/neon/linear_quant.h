// What the NEON kernels of quantized weights share, with and without dot product instructions.
// All in an unnamed namespace, so that instances never mix.
#pragma once

#include <arm_neon.h>

#include "kernels/linear_quant_driver.h"

namespace octavo {

namespace {

inline float32x4_t LoadFloat16x4(const uint8_t* from) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from)));
}

/// Four bytes in the lowest lane: no byte behind them is read.
inline uint32x2_t Load4(const uint8_t* from) {
  uint32_t four;
  __builtin_memcpy(&four, from, 4);
  return vdup_n_u32(four);
}

inline float32x4_t LoadUint8x4(const uint8_t* from) {
  const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(Load4(from)));
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
}

inline float32x4_t LoadInt8x4(const uint8_t* from) {
  const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(Load4(from)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

/// Scales of 4 rows of one block: per half of k (the first alone where PartsOf is 1), and what is added to code * scale.
struct Scales128 {
  float32x4_t parts[2];
  float32x4_t min;
};

/// Of a grouped weight, as stored. `row`: the first of the four.
inline float32x4_t LoadGroupScale(const QuantPanels& w, const uint8_t* from, int64_t row) {
  if (w.grouped.scale_format == Format::kFloat16) return LoadFloat16x4(from + 2 * row);
  if (w.grouped.scale_format == Format::kFloat32) return vreinterpretq_f32_u8(vld1q_u8(from + 4 * row));
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(from + 2 * row)), 16));
}

/// `row`: the first of the four.
template <ScaleKind kScales>
inline Scales128 LoadScales(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t row) {
  const uint8_t* at = scales + BlockScaleOffset(kScales, b);
  const float32x4_t none = vdupq_n_f32(0.0f);
  if constexpr (kScales == ScaleKind::kBlockScale) {
    return {{LoadFloat16x4(at + 2 * row), none}, none};
  } else if constexpr (kScales == ScaleKind::kBlockScaleMin) {
    return {{LoadFloat16x4(at + 2 * row), none}, LoadFloat16x4(at + 32 + 2 * row)};
  } else if constexpr (kScales == ScaleKind::kSuperScaleMin) {
    const uint8_t* shared = scales + SuperScaleOffset(kScales, b) + 2 * row;
    const float32x4_t min = vmulq_f32(LoadFloat16x4(shared + 32), LoadUint8x4(at + 16 + row));
    return {{vmulq_f32(LoadFloat16x4(shared), LoadUint8x4(at + row)), none}, vnegq_f32(min)};
  } else if constexpr (kScales == ScaleKind::kSuperHalves) {
    const float32x4_t d = LoadFloat16x4(scales + SuperScaleOffset(kScales, b) + 2 * row);
    return {{vmulq_f32(d, LoadInt8x4(at + row)), vmulq_f32(d, LoadInt8x4(at + 16 + row))}, none};
  } else {
    const float32x4_t first = LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 0), row);
    if constexpr (PartsOf(kScales) == 1) return {{first, none}, none};
    return {{first, LoadGroupScale(w, scales + w.GroupOffset<kScales>(b, 1), row)}, none};
  }
}

/// What is subtracted from the values that LoadValues gives.
template <PanelKind kKind>
inline int32x4_t LoadZeros(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t row) {
  const uint8_t* at = scales + w.GroupOffset<TraitsOf(kKind).scales>(b, 0) + w.grouped.group_bytes - kPanelRows + row;
  const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(Load4(at)));
  const int32x4_t zeros = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
  return vsubq_s32(zeros, vdupq_n_s32(SignedZeroOffset(TraitsOf(kKind))));
}

/// The codes of group `g` as packed: 4 rows x 4 k. `block` points at the four rows.
template <int kBits>
inline uint8x16_t LoadCodes(const uint8_t* block, int g) {
  if constexpr (kBits == 8) return vld1q_u8(block + 64 * g);
  if constexpr (kBits < 4) {
    const uint8x16_t pairs = vld1q_u8(block + 64 * (g / 4));
    const uint8x16_t codes = vandq_u8(vshlq_u8(pairs, vdupq_n_s8(static_cast<int8_t>(-2 * (g & 3)))), vdupq_n_u8(3));
    if constexpr (kBits == 2) return codes;
    const uint8x16_t shifted = vshlq_u8(vld1q_u8(block + 128), vdupq_n_s8(static_cast<int8_t>(2 - g)));
    return vorrq_u8(codes, vandq_u8(shifted, vdupq_n_u8(4)));
  }
  const uint8x16_t both = vld1q_u8(block + 64 * (g & 3));
  uint8x16_t codes = g < 4 ? vandq_u8(both, vdupq_n_u8(15)) : vshrq_n_u8(both, 4);
  if constexpr (kBits == 5) {
    const uint8x16_t fifth = vld1q_u8(block + 256);
    const uint8x16_t shifted = vshlq_u8(fifth, vdupq_n_s8(static_cast<int8_t>(4 - g)));
    codes = vorrq_u8(codes, vandq_u8(shifted, vdupq_n_u8(16)));
  }
  if constexpr (kBits == 6) {
    const uint8x16_t upper = vld1q_u8(block + 256 + 64 * (g / 4));
    const uint8x16_t shifted = vshlq_u8(upper, vdupq_n_s8(static_cast<int8_t>(4 - 2 * (g & 3))));
    codes = vorrq_u8(codes, vandq_u8(shifted, vdupq_n_u8(48)));
  }
  return codes;
}

/// The codes less their offset, or a table's integers.
template <PanelKind kKind>
inline int8x16_t LoadValues(const QuantPanels& w, const uint8_t* block, int g) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  const uint8x16_t codes = LoadCodes<kTraits.code_bits>(block, g);
  if constexpr (kTraits.codes == CodeKind::kTable) return vqtbl1q_s8(vld1q_s8(w.grouped.table), codes);
  const int8x16_t values = vreinterpretq_s8_u8(codes);
  return kTraits.offset == 0 ? values : vsubq_s8(values, vdupq_n_s8(kTraits.offset));
}

constexpr int LargestValue(const PanelTraits& traits) {
  if (ValueBits(traits) == 8) return 128;
  const int largest_code = (1 << traits.code_bits) - 1;
  return traits.offset > largest_code - traits.offset ? traits.offset : largest_code - traits.offset;
}

/// One token's codes of a block: groups 0 .. 3 and 4 .. 7.
struct TokenCodes {
  int8x16_t halves[2];
};

/// Blocks [begin, end) of kVecs x 4 rows of a panel times kTokens tokens; sums [kTokens][16] in and out.
/// `Dots::Sum<kLargest, kBegin, kEnd>(values, x)` multiplies groups of one block's values, at most kLargest in magnitude, by
/// one token's codes, exactly, as int32 per row.
template <class Dots, PanelKind kKind, int kTokens, int kVecs>
inline void AddBlocks(const QuantPanels& w, int64_t panel, int64_t row, int64_t begin, int64_t end,
                      const QuantizedActivations& x, int64_t tile, int64_t token, float (*sums)[16]) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int kBits = kTraits.code_bits;
  constexpr int kParts = PartsOf(kTraits.scales);
  constexpr int kSplit = kParts == 2 ? 4 : 8;
  const int64_t tokens = x.TokensOf(tile);
  const uint8_t* block = w.Codes(panel) + begin * CodeBytesPerBlock(kBits) + 4 * row;
  float32x4_t acc[kTokens][kVecs];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; t++) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) acc[t][v] = vld1q_f32(sums[t] + row + 4 * v);
  }
  for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kBits)) {
    const int64_t at = tile * kTileTokens * x.blocks + b * tokens + token;
    TokenCodes x_codes[kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; t++) {
      const int8_t* from = x.codes + (at + t) * 32;
      x_codes[t] = {{vld1q_s8(from), vld1q_s8(from + 16)}};
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) {
      int8x16_t codes[8];
#pragma GCC unroll 8
      for (int g = 0; g < 8; g++) codes[g] = LoadValues<kKind>(w, block + 16 * v, g);
      Scales128 scale = LoadScales<kTraits.scales>(w, w.Scales(panel), b, row + 4 * v);
      if constexpr (kTraits.codes == CodeKind::kTable) {
        for (float32x4_t& part : scale.parts) part = vmulq_n_f32(part, w.grouped.unit);
      }
      int32x4_t zeros = vdupq_n_s32(0);
      if constexpr (HasZeros(kTraits.scales)) zeros = LoadZeros<kKind>(w, w.Scales(panel), b, row + 4 * v);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; t++) {
        const float x_scale = x.scales[at + t];
        int32x4_t dot = Dots::template Sum<LargestValue(kTraits), 0, kSplit>(codes, x_codes[t]);
        if constexpr (HasZeros(kTraits.scales)) dot = vmlaq_n_s32(dot, zeros, x.corrections[at + t]);
        acc[t][v] = vfmaq_f32(acc[t][v], vcvtq_f32_s32(dot), vmulq_n_f32(scale.parts[0], x_scale));
        if constexpr (kParts == 2) {
          const float32x4_t second = vcvtq_f32_s32(Dots::template Sum<LargestValue(kTraits), kSplit, 8>(codes, x_codes[t]));
          acc[t][v] = vfmaq_f32(acc[t][v], second, vmulq_n_f32(scale.parts[1], x_scale));
        }
        if constexpr (HasMin(kTraits.scales)) acc[t][v] = vfmaq_n_f32(acc[t][v], scale.min, x.scaled_sums[at + t]);
      }
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; t++) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) vst1q_f32(sums[t] + row + 4 * v, acc[t][v]);
  }
}

/// One tile of tokens: four of them with two vectors of rows fill the registers, fewer take all rows at once.
template <class Dots, PanelKind kKind>
void AddTile(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, const QuantizedActivations& x,
             int64_t tile, float (*sums)[16]) {
  const int64_t tokens = x.TokensOf(tile);
  int64_t token = 0;
  for (; tokens - token >= 4; token += 4) {
    AddBlocks<Dots, kKind, 4, 2>(w, panel, 0, begin, end, x, tile, token, sums + token);
    AddBlocks<Dots, kKind, 4, 2>(w, panel, 8, begin, end, x, tile, token, sums + token);
  }
  if (tokens - token >= 2) {
    AddBlocks<Dots, kKind, 2, 4>(w, panel, 0, begin, end, x, tile, token, sums + token);
    token += 2;
  }
  if (tokens - token == 1) AddBlocks<Dots, kKind, 1, 4>(w, panel, 0, begin, end, x, tile, token, sums + token);
}

template <class Dots>
struct NeonInt8 : PlainOutput {
  template <PanelKind kKind>
  static void AddPanel(const QuantPanels& w, const QuantizedActivations& x, int64_t panel, int64_t begin, int64_t end,
                       int64_t tile0, int64_t tile1, float (*sums)[16]) {
    for (int64_t tile = tile0; tile < tile1; tile++)
      AddTile<Dots, kKind>(w, panel, begin, end, x, tile, sums + (tile - tile0) * kTileTokens);
  }
};

}  // namespace
}  // namespace octavo
