// The loops over the vocabulary that sampling spends its time in. The arithmetic is plain C++ that the compiler maps to
// the vectors of the file that includes it: no operation may be fused or reordered, and none needs to be.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "sample.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace octavo {

template <class V>
struct SampleRun {
  static void BlockMax(float* out, const float* x, int64_t n) {
    for (int64_t start = 0; start < n; start += kSampleBlock) {
      const int64_t length = n - start < kSampleBlock ? n - start : kSampleBlock;
      int is_nan = 0;
      for (int64_t i = start; i < start + length; i++) is_nan |= x[i] != x[i] ? 1 : 0;
      out[start / kSampleBlock] = is_nan != 0 ? std::numeric_limits<float>::quiet_NaN() : MaxOf(x + start, length);
    }
  }

  /// THE ARITHMETIC is that of packages/core/src/sampling/weights.ts, operation by operation.
  static uint64_t Weights(uint32_t* out, const float* x, int64_t n, double largest, double scale, double threshold) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
      const double logit = x[i];
      double exponent = (logit - largest) * scale;
      exponent = exponent > -40.0 ? exponent : -40.0;  // also NaN
      const double shifted = exponent + 6755399441055744.0;  // 1.5 * 2^52: the low bits hold the whole number
      const double f = exponent - (shifted - 6755399441055744.0);
      const double p = ((((((kC7 * f + kC6) * f + kC5) * f + kC4) * f + kC3) * f + kC2) * f + kC1) * f + 1.0;
      uint64_t bits, whole;
      std::memcpy(&bits, &p, sizeof bits);
      std::memcpy(&whole, &shifted, sizeof whole);
      bits += (whole + 31) << 52;  // p * 2^(whole + 31)
      double weight;
      std::memcpy(&weight, &bits, sizeof weight);
      weight += 4503599627370496.0;  // 2^52: rounds, and leaves the result in the low bits
      std::memcpy(&bits, &weight, sizeof bits);
      const uint32_t units = logit >= threshold ? static_cast<uint32_t>(bits) : 0;
      out[i] = units;
      sum += units;
    }
    return sum;
  }

  static void Mask(float* out, const float* x, const int32_t* mask, int64_t n) {
    constexpr float kBanned = -std::numeric_limits<float>::infinity();
    for (int64_t start = 0; start < n; start += 32) {
      const auto word = static_cast<uint32_t>(mask[start / 32]);
      float* const to = out + start;
      const float* const from = x + start;
      if (n - start < 32) {
        for (int64_t i = 0; i < n - start; i++) to[i] = (word >> i & 1) != 0 ? from[i] : kBanned;
      } else if (word == 0) {
        for (int i = 0; i < 32; i++) to[i] = kBanned;  // without a read: grammars ban most tokens
      } else {
        for (int i = 0; i < 32; i++) to[i] = (word >> i & 1) != 0 ? from[i] : kBanned;
      }
    }
  }

  static int64_t Collect(uint32_t* out, const uint32_t* weights, int64_t n, uint32_t least) {
    int64_t count = 0;
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
      const __m512i values = _mm512_loadu_si512(weights + i);
      const __mmask16 is_kept = _mm512_cmpge_epu32_mask(values, _mm512_set1_epi32(static_cast<int>(least)));
      if (is_kept == 0) continue;
      // Whole vectors: at most i elements lie before them, so there is room.
      _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(is_kept, values));
      count += __builtin_popcount(is_kept);
    }
#endif
    for (; i < n; i++) {
      out[count] = weights[i];
      count += weights[i] >= least ? 1 : 0;
    }
    return count;
  }

  static uint64_t Mass(const uint32_t* weights, int64_t n, uint32_t threshold, int64_t* ties) {
    uint64_t above = 0;
    uint32_t equal = 0;
    for (int64_t i = 0; i < n; i++) {
      above += weights[i] > threshold ? weights[i] : 0;
      equal += weights[i] == threshold ? 1 : 0;
    }
    *ties = equal;
    return above;
  }

  static SampleKernels Kernels() { return {BlockMax, Weights, Mask, Collect, Mass}; }

 private:
  static constexpr double kC1 = 0.6931471807045334;
  static constexpr double kC2 = 0.24022651066563808;
  static constexpr double kC3 = 0.055504103659891724;
  static constexpr double kC4 = 0.00961803813161955;
  static constexpr double kC5 = 0.0013333935056064575;
  static constexpr double kC6 = 0.00015466756469245134;
  static constexpr double kC7 = 1.5196156758059893e-05;

  static float MaxOf(const float* x, int64_t n) {
    using Reg = typename V::Reg;
    const Reg lowest = V::Set(-std::numeric_limits<float>::infinity());
    Reg tops[4] = {lowest, lowest, lowest, lowest};
    int64_t k = 0;
    // Max keeps its second operand where the first is NaN.
    for (; k + 4 * V::kWidth <= n; k += 4 * V::kWidth) {
      for (int v = 0; v < 4; v++) tops[v] = V::Max(V::Load(x + k + v * V::kWidth), tops[v]);
    }
    float top = V::ReduceMax(V::Max(V::Max(tops[0], tops[1]), V::Max(tops[2], tops[3])));
    for (; k < n; k++) top = x[k] > top ? x[k] : top;
    return top;
  }
};

}  // namespace octavo
