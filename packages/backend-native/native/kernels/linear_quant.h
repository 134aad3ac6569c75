// How a block-quantized weight lies in memory, and the kernels that read it so.
//
// A panel is 16 rows. Along k it is cut into blocks of 32; the codes of one block are
//
//     [k / 4 = 8 groups][16 rows][k % 4]        one group = 64 bytes = one vector of 16 rows x 4 k
//
// which is the order of VNNI's dot products and of AMX's B tile alike: a lane is a row, so that no kernel ever adds
// across lanes. Narrow codes keep that order in bit planes (group g of 8):
//
//     8 bits: 8 vectors, signed
//     2 bits: 2 vectors; vector g / 4 holds the codes at bit 2 * (g % 4)
//     3 bits: the 2-bit vectors, then one vector whose bit g is the third bit of group g
//     4 bits: 4 vectors, vector g % 4, low nibble for g < 4, high nibble for g >= 4
//     5 bits: the 4-bit vectors, then one vector whose bit g is the fifth bit of group g
//     6 bits: the 4-bit vectors, then two vectors; vector g / 4 holds the upper two bits at bit 2 * (g % 4)
//
// All blocks' codes of a panel come first, then its scales (see ScaleKind). Rows behind the last are zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../matrix.h"
#include "panel_kinds.h"
#include "quantize_activations.h"

namespace octavo {

/// Float activations: blocks whose products are summed before they join the total.
constexpr int64_t kChunkBlocks = 8;

// Every function in this header has internal linkage or is always inlined, as those of panel_kinds.h.

/// What panels of a grouped weight have beside them. Its columns may be packed in another order, group by group, each filled
/// up with columns of nothing; activations are then brought into that order first.
struct GroupedLayout {
  const int32_t* groups;  // [blocks][parts]: whose scales
  Format scale_format;    // of a single number
  int64_t group_bytes;    // of a group's scales in a panel, and its zeros behind them
  const float* values;    // of a table's 16 codes
  float unit;             // values = table * unit, exactly
  alignas(16) int8_t table[16];
};

/// A view of a packed weight.
struct QuantPanels {
  PanelKind kind;
  int64_t rows;
  int64_t cols;         // as packed
  int64_t blocks;       // cols / 32
  int64_t scale_start;  // bytes from a panel's start to its scales
  int64_t panel_bytes;  // a multiple of 64
  const uint8_t* data;  // 64-byte aligned
  GroupedLayout grouped;

  [[gnu::always_inline]] int64_t NumPanels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  [[gnu::always_inline]] const uint8_t* Codes(int64_t panel) const { return data + panel * panel_bytes; }
  [[gnu::always_inline]] const uint8_t* Scales(int64_t panel) const { return data + panel * panel_bytes + scale_start; }
  /// Of a grouped weight: from a panel's scales to those of a part of a block.
  template <ScaleKind kScales>
  [[gnu::always_inline]] int64_t GroupOffset(int64_t b, int part) const {
    return grouped.groups[b * PartsOf(kScales) + part] * grouped.group_bytes;
  }
};

/// One task's share: panels and token tiles (16 tokens each), half-open.
struct QuantTask {
  int64_t panel_begin, panel_end;
  int64_t tile_begin, tile_end;
  float* y;           // where the first token's result of the first panel's first row goes; neighbours follow
  int64_t y_stride;   // from a token's results to the next one's
  const float* bias;  // [rows] or null

  /// Where a token's results of a panel go.
  [[gnu::always_inline]] float* At(int64_t token, int64_t panel) const {
    return y + (token - tile_begin * kTileTokens) * y_stride + (panel - panel_begin) * kPanelRows;
  }
};

struct FloatActivations {
  const float* x;  // [n, cols]
  int64_t n;
};

/// y = x @ W^T + bias.
struct QuantKernels {
  /// Tokens [begin, end), the first of them at x.
  void (*quantize)(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end, QuantizeOptions options);
  /// The bias of activations that meet codes of less than 8 bits with zeros.
  int zero_bias;
  /// Integer activations, per output element, blocks ascending, each step one fused multiply-add:
  ///
  ///     acc = fma(float(sum of x * code over the block, exact), x_scale * w_scale, acc)   once per half where halves have scales
  ///     acc = fma(x_scaled_sum, w_min, acc)                                               formats with a minimum
  ///
  /// where zeros are subtracted from the codes: float(sum of x * code - zero * sum of x, exact);
  /// so that every instruction set gives the same bits.
  void (*int8)(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task);
  /// Float activations, per output element and chunk of 256 k: four sums over k % 4 = 0..3 in ascending order, then
  /// total += (s0 + s1) + (s2 + s3), chunks ascending.
  void (*float32)(const QuantPanels& w, const FloatActivations& x, const QuantTask& task);
};

}  // namespace octavo
