#pragma once

#include "isa/neon/linear_quant.h"

namespace octavo {

namespace {

/// How many products by at most 127 fit int16 in any case.
constexpr int ProductsThatFit(int largest) {
  return largest <= 32 ? 8 : largest <= 64 ? 4 : 2;
}

/// Without dot product instructions: products in int16, as many as fit, then pairs of them added in int32.
struct WidenedProducts {
  template <int kLargest, int kBegin, int kEnd>
  static int32x4_t Sum(const int8x16_t (&codes)[8], const TokenCodes& x) {
    constexpr int kFit = ProductsThatFit(kLargest);
    int32x4_t rows01 = vdupq_n_s32(0);
    int32x4_t rows23 = vdupq_n_s32(0);
    int16x8_t low = vdupq_n_s16(0);
    int16x8_t high = low;
#pragma GCC unroll 8
    for (int g = kBegin; g < kEnd; g++) {
      const int8x16_t four = Broadcast(x, g);
      const bool is_first = (g - kBegin) % kFit == 0;
      low = is_first ? vmull_s8(vget_low_s8(codes[g]), vget_low_s8(four))
                     : vmlal_s8(low, vget_low_s8(codes[g]), vget_low_s8(four));
      high = is_first ? vmull_high_s8(codes[g], four) : vmlal_high_s8(high, codes[g], four);
      if ((g - kBegin) % kFit == kFit - 1 || g == kEnd - 1) {
        rows01 = vpadalq_s16(rows01, low);
        rows23 = vpadalq_s16(rows23, high);
      }
    }
    return vpaddq_s32(rows01, rows23);
  }

 private:
  /// Group `g` of the token's codes, once per row.
  static int8x16_t Broadcast(const TokenCodes& x, int g) {
    const int32x4_t half = vreinterpretq_s32_s8(x.halves[g / 4]);
    switch (g % 4) {
      case 0:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(half, 0));
      case 1:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(half, 1));
      case 2:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(half, 2));
      default:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(half, 3));
    }
  }
};

/// One block of 4 rows, to be widened column by column.
template <PanelKind kKind>
struct Weights128 {
  static constexpr PanelTraits kTraits = TraitsOf(kKind);
  static constexpr bool kIsTable = kTraits.codes == CodeKind::kTable || kTraits.codes == CodeKind::kFloatTable;
  Scales128 scale;
  int32x4_t zeros;
  uint8x16x4_t table;  // 16 floats

  Weights128(const QuantPanels& w, const uint8_t* scales, int64_t b, int64_t row)
      : scale(LoadScales<kTraits.scales>(w, scales, b, row)), zeros(vdupq_n_s32(kTraits.offset)) {
    if constexpr (HasZeros(kTraits.scales)) zeros = LoadZeros<kKind>(w, scales, b, row);
    for (int i = 0; i < 4; i++)
      table.val[i] = kIsTable ? vreinterpretq_u8_f32(vld1q_f32(w.grouped.values + 4 * i)) : vdupq_n_u8(0);
  }

  /// Column 4 * g + kByte of the 4 rows: byte kByte of each 32-bit lane.
  template <int kByte>
  float32x4_t At(uint32x4_t codes, int g) const {
    const float32x4_t part = scale.parts[PartsOf(kTraits.scales) == 2 ? g / 4 : 0];
    const int32x4_t top = vshlq_n_s32(vreinterpretq_s32_u32(codes), 24 - 8 * kByte);
    if constexpr (kIsTable) {
      // The places of a float's four bytes: 4 * code + 0, 1, 2, 3.
      const uint32x4_t code = vreinterpretq_u32_s32(vshrq_n_s32(top, 24));
      const uint32x4_t places = vaddq_u32(vmulq_n_u32(code, 0x04040404u), vdupq_n_u32(0x03020100u));
      return vmulq_f32(vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(places))), part);
    } else if constexpr (kTraits.codes == CodeKind::kE4m3) {
      // Its bits where those of a float32 lie, whose exponents begin 120 lower.
      const int32x4_t bits = vandq_s32(vshrq_n_s32(top, 4), vdupq_n_s32(static_cast<int32_t>(0x87f00000u)));
      return vmulq_f32(vmulq_n_f32(vreinterpretq_f32_s32(bits), 0x1p120f), part);
    } else {
      const float32x4_t value = vcvtq_f32_s32(vsubq_s32(vshrq_n_s32(top, 24), zeros));
      return HasMin(kTraits.scales) ? vfmaq_f32(scale.min, value, part) : vmulq_f32(value, part);
    }
  }
};

/// totals [kTokens][16], 8 rows of them, += weights [count][16] x kTokens rows of x.
template <int kTokens>
inline void AddChunk(const float* weights, const float* x, int64_t stride, int64_t count, float (*totals)[16],
                     int64_t row) {
  float32x4_t sums[4][kTokens][2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
#pragma GCC unroll 3
    for (int t = 0; t < kTokens; t++) sums[i][t][0] = sums[i][t][1] = vdupq_n_f32(0.0f);
  }
  for (int64_t k = 0; k < count; k += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const float32x4_t low = vld1q_f32(weights + 16 * (k + i) + row);
      const float32x4_t high = vld1q_f32(weights + 16 * (k + i) + row + 4);
#pragma GCC unroll 3
      for (int t = 0; t < kTokens; t++) {
        const float value = x[t * stride + k + i];
        sums[i][t][0] = vfmaq_n_f32(sums[i][t][0], low, value);
        sums[i][t][1] = vfmaq_n_f32(sums[i][t][1], high, value);
      }
    }
  }
#pragma GCC unroll 3
  for (int t = 0; t < kTokens; t++) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
      const float32x4_t sum = vaddq_f32(vaddq_f32(sums[0][t][v], sums[1][t][v]), vaddq_f32(sums[2][t][v], sums[3][t][v]));
      float* total = totals[t] + row + 4 * v;
      vst1q_f32(total, vaddq_f32(vld1q_f32(total), sum));
    }
  }
}

struct NeonQuant : NeonInt8<WidenedProducts> {
  /// Widened weights of blocks [begin, end), [k][16 rows].
  template <PanelKind kKind>
  static void WidenChunk(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, float* out) {
    constexpr PanelTraits kTraits = TraitsOf(kKind);
    for (int64_t b = begin; b < end; b++, out += 512) {
      for (int64_t row = 0; row < kPanelRows; row += 4) {
        const uint8_t* block = w.Codes(panel) + b * CodeBytesPerBlock(kTraits.code_bits) + 4 * row;
        const Weights128<kKind> weights(w, w.Scales(panel), b, row);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
          const uint32x4_t codes = vreinterpretq_u32_u8(LoadCodes<kTraits.code_bits>(block, g));
          float* to = out + 64 * g + row;
          vst1q_f32(to, weights.template At<0>(codes, g));
          vst1q_f32(to + 16, weights.template At<1>(codes, g));
          vst1q_f32(to + 32, weights.template At<2>(codes, g));
          vst1q_f32(to + 48, weights.template At<3>(codes, g));
        }
      }
    }
  }

  static void AddChunkTokens(const float* weights, const float* x, int64_t stride, int64_t count, int64_t tokens,
                      float (*totals)[16]) {
    for (int64_t row = 0; row < kPanelRows; row += 8) {
      int64_t t = 0;
      for (; tokens - t >= 3; t += 3) AddChunk<3>(weights, x + t * stride, stride, count, totals + t, row);
      if (tokens - t == 2) AddChunk<2>(weights, x + t * stride, stride, count, totals + t, row);
      if (tokens - t == 1) AddChunk<1>(weights, x + t * stride, stride, count, totals + t, row);
    }
  }
};

}  // namespace
}  // namespace octavo
