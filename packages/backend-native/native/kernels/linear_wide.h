// Quantized weights as 16-bit fixed-point numbers of their row, against activations in int8 with one scale per 256
// columns ("wide" blocks). Nothing but integers is added up inside 256 columns, so that matrix tiles need not stop at each
// block of 32 for its scale, and so that any order and any instruction set gives the same bits.
//
//     unit  = (the largest magnitude that the row's scales allow) / 32512, one per row
//     m     = round(scale * 2^(15 - shift) / unit), min16 = round(min / unit), per block (or half) and row
//     w16   = ((code << shift) * m + 2^14 >> 15) + min16                    within [-32514, 32514]
//     sum   = sum over the chunk's columns of w16 * x_code                  exact in int32
//     acc   = fma(float(sum), x_scale, acc), chunks ascending;  y = acc * unit + bias
//
// `shift` puts a signed code's leading bit at the top of an int16. A weight is off by about one unit: where all blocks of a
// row have alike scales, 1/250 of a step of an 8-bit code.
#pragma once

#include "linear_quant.h"

namespace octavo {

constexpr int64_t kWideBlocks = 8;
constexpr int64_t kWideCols = kWideBlocks * kBlock;
/// Columns of one step of the tile unit.
constexpr int64_t kStepCols = 64;
/// 127 * 256: the upper one of two signed bytes never overflows, roundings included.
constexpr float kWideUnits = 32512.0f;

/// Formats with a minimum, and zeros: minus the zero times the scale.
static constexpr bool HasWideMin(const PanelTraits& traits) { return HasMin(traits.scales) || HasZeros(traits.scales); }

static constexpr int WideShift(const PanelTraits& traits) { return (HasWideMin(traits) ? 15 : 16) - ValueBits(traits); }

struct WidePanels {
  QuantPanels panels;
  const float* units;     // [panels * 16]: see above; NaN in a row with an infinite or NaN scale
  const float* inverses;  // [panels * 16]: 1 / unit, or 0 where nothing but zeros comes out
};

struct WideActivations {
  int64_t n;
  int64_t cols;
  int64_t chunks;  // of 256 columns, the last one maybe shorter
  bool is_tiled;
  /// Tiled: [tile of 16 tokens][step of 64 columns][16 tokens][64] int8, zeros where there is no token or column.
  int8_t* tiles;
  /// Else: [token][cols] int16, of each four columns in the order 0, 2, 1, 3.
  int16_t* pairs;
  float* scales;  // [chunk][token], the tokens of a chunk padded to whole tiles

  [[gnu::always_inline]] int64_t Steps() const { return (cols + kStepCols - 1) / kStepCols; }
  [[gnu::always_inline]] int64_t NumTiles() const { return (n + kTileTokens - 1) / kTileTokens; }
  [[gnu::always_inline]] float* ScalesOf(int64_t chunk) const { return scales + chunk * NumTiles() * kTileTokens; }
  [[gnu::always_inline]] int8_t* Step(int64_t tile, int64_t step) const {
    return tiles + (tile * Steps() + step) * kTileTokens * kStepCols;
  }
};

/// Of a row whose weights are at most `largest` in magnitude.
static inline void SetUnit(float largest, float* unit, float* inverse) {
  const bool is_zero = largest < kSmallestQuantized;
  const bool is_finite = __builtin_isfinite(largest);
  *unit = is_zero ? 0.0f : is_finite ? largest / kWideUnits : __builtin_nanf("");
  *inverse = is_zero || !is_finite ? 0.0f : kWideUnits / largest;
}

struct WideKernels {
  /// The units and inverses of one panel's 16 rows.
  void (*units)(const QuantPanels& panels, int64_t panel, float* units, float* inverses);
  /// Quantizes tokens [begin, end), the first of them at x, as QuantKernels does, but per chunk.
  void (*quantize)(const WideActivations& out, const float* x, int64_t begin, int64_t end);
  void (*pairs)(const WidePanels& w, const WideActivations& x, const QuantTask& task);
  /// Null where there is no tile unit.
  void (*tiles)(const WidePanels& w, const WideActivations& x, const QuantTask& task);
};

}  // namespace octavo
