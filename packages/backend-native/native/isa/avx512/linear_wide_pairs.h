#pragma once

#include "isa/avx512/linear_wide.h"

namespace octavo {

namespace {

constexpr int kMaxTokens = 8;

/// A whole panel times kTokens tokens from `token` on.
template <PanelKind kKind, int kTokens>
void MultiplyPanel(const WidePanels& w, const WideActivations& x, const QuantTask& task, int64_t panel, int64_t token) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  const WideFactors factors = FactorsOf<kKind>(w, panel);
  const uint8_t* block = w.panels.Codes(panel);
  const int16_t* pairs = x.pairs + token * x.cols;
  __m512 acc[kTokens];
  for (int t = 0; t < kTokens; t++) acc[t] = _mm512_setzero_ps();
  for (int64_t chunk = 0; chunk < x.chunks; chunk++) {
    __m512i evens[kTokens], odds[kTokens];
    for (int t = 0; t < kTokens; t++) evens[t] = odds[t] = _mm512_setzero_si512();
    const int64_t begin = chunk * kWideBlocks;
    const int64_t end = begin + kWideBlocks < w.panels.blocks ? begin + kWideBlocks : w.panels.blocks;
    for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits)) {
      PrefetchStream<kKind>(block);
      const WideScales scales = LoadWideScales<kKind>(w, panel, b, factors);
      __m512i codes[8];
      LoadSigned<kKind>(w.panels, block, codes);
#pragma GCC unroll 8
      for (int g = 0; g < 8; g++) {
        const FixedPair fixed = Fix<kKind>(codes[g], scales, PartOfGroup<kKind>(g));
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; t++) {
          int32_t both[2];
          __builtin_memcpy(both, pairs + t * x.cols + b * kBlock + 4 * g, 8);
          evens[t] = _mm512_dpwssd_epi32(evens[t], fixed.even, _mm512_set1_epi32(both[0]));
          odds[t] = _mm512_dpwssd_epi32(odds[t], fixed.odd, _mm512_set1_epi32(both[1]));
        }
      }
    }
    for (int t = 0; t < kTokens; t++) {
      const __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(evens[t], odds[t]));
      acc[t] = _mm512_fmadd_ps(sum, _mm512_set1_ps(x.ScalesOf(chunk)[token + t]), acc[t]);
    }
  }
  for (int t = 0; t < kTokens; t++) StoreWideRows(w, task, panel, token + t, acc[t]);
}

/// At most kTokens tokens: the variant for just as many.
template <PanelKind kKind, int kTokens>
void MultiplyRest(const WidePanels& w, const WideActivations& x, const QuantTask& task, int64_t panel, int64_t token,
                  int64_t tokens) {
  if constexpr (kTokens > 0) {
    if (tokens == kTokens) return MultiplyPanel<kKind, kTokens>(w, x, task, panel, token);
    MultiplyRest<kKind, kTokens - 1>(w, x, task, panel, token, tokens);
  }
}

template <PanelKind kKind>
void Multiply(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  const int64_t token_end = task.tile_end * kTileTokens < x.n ? task.tile_end * kTileTokens : x.n;
  for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
    int64_t token = task.tile_begin * kTileTokens;
    for (; token_end - token >= kMaxTokens; token += kMaxTokens)
      MultiplyPanel<kKind, kMaxTokens>(w, x, task, panel, token);
    MultiplyRest<kKind, kMaxTokens - 1>(w, x, task, panel, token, token_end - token);
  }
}

template <PanelKind kKind>
__m512 LargestWeights(const QuantPanels& panels, int64_t panel) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  const __m512 code_bound = _mm512_set1_ps(static_cast<float>(1 << (15 - WideShift(kTraits))));
  __m512 largest = _mm512_setzero_ps();
  for (int64_t b = 0; b < panels.blocks; b++) {
    const Scales512 scales = LoadWideInput<kKind>(panels, panels.Scales(panel), b);
    for (int part = 0; part < PartsOf(kTraits.scales); part++) {
      __m512 bound = _mm512_mul_ps(_mm512_abs_ps(scales.parts[part]), code_bound);
      if constexpr (HasWideMin(kTraits)) bound = _mm512_add_ps(bound, _mm512_abs_ps(scales.min));
      // A NaN stays, also where a later bound is none.
      const __mmask16 is_larger = _mm512_cmp_ps_mask(bound, largest, _CMP_NLE_UQ);
      const __mmask16 is_nan = _mm512_cmp_ps_mask(largest, largest, _CMP_UNORD_Q);
      largest = _mm512_mask_mov_ps(largest, static_cast<__mmask16>(is_larger & ~is_nan), bound);
    }
  }
  return largest;
}

void WideUnitsAvx512(const QuantPanels& panels, int64_t panel, float* units, float* inverses) {
  alignas(64) float largest[kPanelRows];
  WithIntegralKind(panels.kind, [&](auto kind) {
    _mm512_store_ps(largest, LargestWeights<decltype(kind)::value>(panels, panel));
  });
  for (int r = 0; r < kPanelRows; r++) SetUnit(largest[r], &units[r], &inverses[r]);
}

void QuantizeWideAvx512(const WideActivations& out, const float* x, int64_t begin, int64_t end) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (int64_t token = begin; token < end; token++) {
    const int64_t tile = token / kTileTokens;
    for (int64_t chunk = 0; chunk < out.chunks; chunk++) {
      const int64_t first = chunk * kWideCols;
      const int64_t count = out.cols - first < kWideCols ? out.cols - first : kWideCols;
      const float* from = x + (token - begin) * out.cols + first;
      __m512i bits = _mm512_setzero_si512();
      for (int64_t i = 0; i < count; i += 16)
        bits = _mm512_max_epi32(bits, _mm512_and_si512(_mm512_castps_si512(_mm512_loadu_ps(from + i)), magnitude));
      const int32_t largest_bits = _mm512_reduce_max_epi32(bits);
      float largest;
      __builtin_memcpy(&largest, &largest_bits, 4);
      const bool is_zero = largest < kSmallestQuantized;
      const __mmask16 keep = static_cast<__mmask16>(is_zero || largest_bits >= 0x7f800000 ? 0 : 0xffff);
      const __m512 inverse = _mm512_set1_ps(127.0f / largest);
      out.ScalesOf(chunk)[token] = is_zero ? 0.0f : largest / 127.0f;
      for (int64_t i = 0; i < count; i += 16) {
        const __m512i codes = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(_mm512_loadu_ps(from + i), inverse));
        if (out.is_tiled) {
          int8_t* step = out.Step(tile, (first + i) / kStepCols) + token % kTileTokens * kStepCols;
          _mm_storeu_si128(reinterpret_cast<__m128i*>(step + (first + i) % kStepCols), _mm512_cvtepi32_epi8(codes));
        } else {
          const __m256i narrow = _mm512_cvtepi32_epi16(codes);
          const __m256i ordered = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(narrow, 0xd8), 0xd8);
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.pairs + token * out.cols + first + i), ordered);
        }
      }
    }
  }
}

void LinearWideAvx512(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  WithIntegralKind(w.panels.kind, [&](auto kind) { Multiply<decltype(kind)::value>(w, x, task); });
}

}  // namespace
}  // namespace octavo
