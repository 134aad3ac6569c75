#pragma once

#include <immintrin.h>

#include "kernels/quantize_activations.h"

namespace octavo {
namespace {

void QuantizeActivationsAvx512(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end,
                               QuantizeOptions options) {
  const int64_t part_stride = out.n * out.blocks;
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (int64_t token = begin; token < end; token++) {
    const int64_t tile = token / kTileTokens;
    const int64_t tokens = out.TokensOf(tile);
    for (int64_t b = 0; b < out.blocks; b++) {
      const float* from = x + (token - begin) * out.cols + b * 32;
      const int64_t at = tile * kTileTokens * out.blocks + b * tokens + token % kTileTokens;
      const __m512 low = _mm512_loadu_ps(from);
      const __m512 high = _mm512_loadu_ps(from + 16);
      // By bits, so that a NaN counts as larger than infinity.
      const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                            _mm512_and_si512(_mm512_castps_si512(high), magnitude));
      const int32_t largest_bits = _mm512_reduce_max_epi32(bits);
      float largest;
      __builtin_memcpy(&largest, &largest_bits, 4);
      const bool is_zero = largest < kSmallestQuantized;
      const bool is_finite = largest_bits < 0x7f800000;
      const __mmask16 keep = static_cast<__mmask16>(is_zero || !is_finite ? 0 : 0xffff);
      const __m512 inverse = _mm512_set1_ps(127.0f / largest);
      const __m512i codes0 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(low, inverse));
      const __m512i codes1 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(high, inverse));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out.codes + at * 32), _mm512_cvtepi32_epi8(codes0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out.codes + at * 32 + 16), _mm512_cvtepi32_epi8(codes1));
      const float scale = is_zero ? 0.0f : largest / 127.0f;
      out.scales[at] = scale;
      if (options.parts == 2) {
        const int32_t sum0 = _mm512_reduce_add_epi32(codes0);
        const int32_t sum1 = _mm512_reduce_add_epi32(codes1);
        out.scaled_sums[at] = scale * static_cast<float>(sum0 + sum1);
        out.corrections[at] = -options.bias * sum0;
        out.corrections[part_stride + at] = -options.bias * sum1;
      } else {
        const int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(codes0, codes1));
        out.scaled_sums[at] = scale * static_cast<float>(sum);
        out.corrections[at] = -options.bias * sum;
      }
    }
  }
}

}  // namespace
}  // namespace octavo
