// What the AVX-512 and AMX kernels of wide blocks share; internal to each, as linear_quant_avx512.h.
#pragma once

#include "isa/avx512/linear_quant.h"
#include "kernels/linear_wide.h"

namespace octavo {
namespace {

/// What turns one block's codes into fixed-point numbers: factors twice in each 32-bit lane (a lane is a row).
struct WideScales {
  __m512i parts[2];
  __m512i min;
};

struct WideFactors {
  __m512 scale;  // 2^(15 - shift) / unit
  __m512 min;    // 1 / unit
};

template <PanelKind kKind>
inline WideFactors FactorsOf(const WidePanels& w, int64_t panel) {
  const __m512 inverse = _mm512_loadu_ps(w.inverses + panel * kPanelRows);
  return {_mm512_mul_ps(inverse, _mm512_set1_ps(static_cast<float>(1 << (15 - WideShift(TraitsOf(kKind)))))), inverse};
}

inline __m512i RoundTwice(__m512 value) {
  const __m512i rounded = _mm512_cvtps_epi32(value);
  return _mm512_mask_blend_epi16(0xaaaaaaaa, rounded, _mm512_slli_epi32(rounded, 16));
}

/// A zero is a minimum here.
template <PanelKind kKind>
inline Scales512 LoadWideInput(const QuantPanels& w, const uint8_t* scales, int64_t b) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  Scales512 out = LoadIntegerScales<kKind>(w, scales, b);
  if constexpr (HasZeros(kTraits.scales)) {
    const __m512i zeros =
        _mm512_sub_epi32(_mm512_set1_epi32(SignedZeroOffset(kTraits)), LoadZeros<kTraits.scales>(w, scales, b));
    out.min = _mm512_mul_ps(_mm512_cvtepi32_ps(zeros), out.parts[0]);
  }
  return out;
}

template <PanelKind kKind>
inline WideScales LoadWideScales(const WidePanels& w, int64_t panel, int64_t b, const WideFactors& factors) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  const Scales512 scales = LoadWideInput<kKind>(w.panels, w.panels.Scales(panel), b);
  WideScales out{};
  out.parts[0] = RoundTwice(_mm512_mul_ps(scales.parts[0], factors.scale));
  out.parts[1] = PartsOf(kTraits.scales) == 2 ? RoundTwice(_mm512_mul_ps(scales.parts[1], factors.scale)) : out.parts[0];
  if constexpr (HasWideMin(kTraits)) out.min = RoundTwice(_mm512_mul_ps(scales.min, factors.min));
  return out;
}

/// Columns 0 and 2 (`even`), 1 and 3 (`odd`) of a group of four, as int16 pairs per row.
struct FixedPair {
  __m512i even, odd;
};

/// `codes`: signed bytes as LoadSigned gives them; `part`: of the scales, that of the group.
template <PanelKind kKind>
inline FixedPair Fix(__m512i codes, const WideScales& scales, int part) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int kShift = WideShift(kTraits);
  const __m512i top = _mm512_set1_epi16(static_cast<int16_t>(0xffff << kShift));
  __m512i even_code, odd_code;
  if constexpr (kShift >= 8) {
    even_code = _mm512_slli_epi16(codes, kShift);
    odd_code = _mm512_and_si512(kShift == 8 ? codes : _mm512_slli_epi16(codes, kShift - 8), top);
  } else {
    even_code = _mm512_srai_epi16(_mm512_slli_epi16(codes, 8), 8 - kShift);
    odd_code = _mm512_and_si512(_mm512_srai_epi16(codes, 8 - kShift), top);
  }
  FixedPair fixed{_mm512_mulhrs_epi16(even_code, scales.parts[part]), _mm512_mulhrs_epi16(odd_code, scales.parts[part])};
  if constexpr (HasWideMin(kTraits)) {
    fixed.even = _mm512_add_epi16(fixed.even, scales.min);
    fixed.odd = _mm512_add_epi16(fixed.odd, scales.min);
  }
  return fixed;
}

template <PanelKind kKind>
constexpr int PartOfGroup(int group) {
  return PartsOf(TraitsOf(kKind).scales) == 2 ? group / 4 : 0;
}

/// Weights stream past: near ones into the first-level cache, later ones into the second.
template <PanelKind kKind>
inline void PrefetchStream(const uint8_t* block) {
  constexpr int kLines = TraitsOf(kKind).code_bits;
#pragma GCC unroll 8
  for (int i = 0; i < kLines; i++) {
    _mm_prefetch(reinterpret_cast<const char*>(block + 1024 + 64 * i), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(block + 4096 + 64 * i), _MM_HINT_T1);
  }
}

/// Before StoreWideRows: both lines that it may write.
inline void PrefetchWideRows(const QuantTask& task, int64_t panel, int64_t token) {
  const float* const y = task.At(token, panel);
  __builtin_prefetch(y, 1);
  __builtin_prefetch(y + kPanelRows - 1, 1);
}

inline void StoreWideRows(const WidePanels& w, const QuantTask& task, int64_t panel, int64_t token, __m512 sum) {
  const int64_t first = panel * kPanelRows;
  const int64_t left = w.panels.rows - first;
  const __mmask16 mask = static_cast<__mmask16>(left < kPanelRows ? (1u << left) - 1 : 0xffffu);
  __m512 value = _mm512_mul_ps(sum, _mm512_loadu_ps(w.units + first));
  if (task.bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, task.bias + first));
  _mm512_mask_storeu_ps(task.At(token, panel), mask, value);
}

}  // namespace
}  // namespace octavo
