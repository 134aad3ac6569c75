#pragma once

#include <arm_neon.h>

#include "kernels/quantize_activations.h"

namespace octavo {

namespace {

/// Half a block's codes, in order.
inline int8x16_t Narrow(const int32x4_t* codes) {
  const int16x8_t low = vcombine_s16(vmovn_s32(codes[0]), vmovn_s32(codes[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(codes[2]), vmovn_s32(codes[3]));
  return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

void QuantizeActivationsNeon(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end,
                             QuantizeOptions options) {
  const int64_t part_stride = out.n * out.blocks;
  for (int64_t token = begin; token < end; token++) {
    const int64_t tile = token / kTileTokens;
    const int64_t tokens = out.TokensOf(tile);
    for (int64_t b = 0; b < out.blocks; b++) {
      const float* from = x + (token - begin) * out.cols + b * 32;
      const int64_t at = tile * kTileTokens * out.blocks + b * tokens + token % kTileTokens;
      float32x4_t values[8];
      uint32x4_t bits = vdupq_n_u32(0);
      for (int i = 0; i < 8; i++) {
        values[i] = vld1q_f32(from + 4 * i);
        // By bits, so that a NaN counts as larger than infinity.
        bits = vmaxq_u32(bits, vreinterpretq_u32_f32(vabsq_f32(values[i])));
      }
      const uint32_t largest_bits = vmaxvq_u32(bits);
      float largest;
      __builtin_memcpy(&largest, &largest_bits, 4);
      const bool is_zero = largest < kSmallestQuantized;
      const int32x4_t keep = vdupq_n_s32(is_zero || largest_bits >= 0x7f800000u ? 0 : -1);
      const float32x4_t inverse = vdupq_n_f32(127.0f / largest);
      int32x4_t codes[8];
      for (int i = 0; i < 8; i++) codes[i] = vandq_s32(vcvtnq_s32_f32(vmulq_f32(values[i], inverse)), keep);
      const int8x16_t halves[2] = {Narrow(codes), Narrow(codes + 4)};
      int32_t sums[2];
      for (int half = 0; half < 2; half++) {
        vst1q_s8(out.codes + at * 32 + 16 * half, halves[half]);
        sums[half] = vaddlvq_s8(halves[half]);
      }
      const float scale = is_zero ? 0.0f : largest / 127.0f;
      out.scales[at] = scale;
      out.scaled_sums[at] = scale * static_cast<float>(sums[0] + sums[1]);
      if (options.parts == 1) sums[0] += sums[1];
      for (int part = 0; part < options.parts; part++)
        out.corrections[part * part_stride + at] = -options.bias * sums[part];
    }
  }
}

}  // namespace
}  // namespace octavo
