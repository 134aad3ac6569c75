#pragma once

#include <immintrin.h>

#include "kernels/quantize_activations.h"

namespace octavo {

namespace {

inline int32_t MaxOf(__m256i values) {
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

inline int32_t SumOf(__m256i values) {
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

void QuantizeActivationsAvx2(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end,
                             QuantizeOptions options) {
  const int64_t part_stride = out.n * out.blocks;
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t token = begin; token < end; token++) {
    const int64_t tile = token / kTileTokens;
    const int64_t tokens = out.TokensOf(tile);
    for (int64_t b = 0; b < out.blocks; b++) {
      const float* from = x + (token - begin) * out.cols + b * 32;
      const int64_t at = tile * kTileTokens * out.blocks + b * tokens + token % kTileTokens;
      __m256 values[4];
      __m256i bits = _mm256_setzero_si256();
      for (int i = 0; i < 4; i++) {
        values[i] = _mm256_loadu_ps(from + 8 * i);
        // By bits, so that a NaN counts as larger than infinity.
        bits = _mm256_max_epi32(bits, _mm256_and_si256(_mm256_castps_si256(values[i]), magnitude));
      }
      const int32_t largest_bits = MaxOf(bits);
      float largest;
      __builtin_memcpy(&largest, &largest_bits, 4);
      const bool is_zero = largest < kSmallestQuantized;
      const __m256i keep = _mm256_set1_epi32(is_zero || largest_bits >= 0x7f800000 ? 0 : -1);
      const __m256 inverse = _mm256_set1_ps(127.0f / largest);
      __m256i codes[4];
      for (int i = 0; i < 4; i++)
        codes[i] = _mm256_and_si256(_mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse)), keep);
      // Packing interleaves 128-bit lanes; the permutation restores the order.
      const __m256i bytes =
          _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.codes + at * 32), _mm256_permutevar8x32_epi32(bytes, order));
      int32_t sums[2] = {SumOf(_mm256_add_epi32(codes[0], codes[1])), SumOf(_mm256_add_epi32(codes[2], codes[3]))};
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
