#pragma once

#include <cmath>

#include "kernels/dequantize.h"
#include "kernels/linear_quant_driver.h"

namespace octavo {

namespace {

/// One block of 16 rows times the tokens of one tile.
void AddBlock(const PanelTraits& traits, const PlainBlock& block, const QuantizedActivations& x, int64_t tile,
              int64_t b, float (*sums)[16]) {
  const int64_t tokens = x.TokensOf(tile);
  const int64_t at = tile * kTileTokens * x.blocks + b * tokens;
  for (int64_t t = 0; t < tokens; t++) {
    const int8_t* codes = x.codes + (at + t) * 32;
    const float scale = x.scales[at + t];
    for (int r = 0; r < 16; r++) {
      int32_t dots[2] = {0, 0};
      for (int half = 0; half < 2; half++) {
        for (int i = 16 * half; i < 16 * half + 16; i++) dots[half] += block.codes[r][i] * codes[i];
      }
      if (HasZeros(traits.scales)) dots[0] += block.zeros[r] * x.corrections[at + t];
      float sum = sums[t][r];
      if (PartsOf(traits.scales) == 2) {
        sum = std::fma(static_cast<float>(dots[0]), block.scales[0][r] * scale, sum);
        sum = std::fma(static_cast<float>(dots[1]), block.scales[1][r] * scale, sum);
      } else {
        sum = std::fma(static_cast<float>(dots[0] + dots[1]), block.scales[0][r] * scale, sum);
      }
      if (HasMin(traits.scales)) sum = std::fma(x.scaled_sums[at + t], block.mins[r], sum);
      sums[t][r] = sum;
    }
  }
}

/// Widened weights of one chunk, [k][16 rows].
void WidenBlocks(const QuantPanels& w, int64_t panel, int64_t block_begin, int64_t block_end, float* out) {
  float values[kBlock];
  for (int64_t b = block_begin; b < block_end; b++, out += kBlock * 16) {
    for (int r = 0; r < 16; r++) {
      WidenBlockRow(w, panel, b, r, values);
      for (int k = 0; k < 32; k++) out[16 * k + r] = values[k];
    }
  }
}

void AddChunk(const float* weights, const float* x, int64_t count, float* totals) {
  float sums[4][16] = {};
  for (int64_t k = 0; k < count; k += 4) {
    for (int i = 0; i < 4; i++) {
      for (int r = 0; r < 16; r++) sums[i][r] += x[k + i] * weights[16 * (k + i) + r];
    }
  }
  for (int r = 0; r < 16; r++) totals[r] += (sums[0][r] + sums[1][r]) + (sums[2][r] + sums[3][r]);
}

/// Blocks [begin, end) of a panel times tiles [tile0, tile1).
void AddPanelBlocks(const QuantPanels& w, const QuantizedActivations& x, int64_t panel, int64_t begin, int64_t end,
                    int64_t tile0, int64_t tile1, float (*sums)[16]) {
  const PanelTraits traits = TraitsOf(w.kind);
  PlainBlock block;
  for (int64_t b = begin; b < end; b++) {
    ReadPanelBlock(w, panel, b, &block);
    for (int64_t tile = tile0; tile < tile1; tile++)
      AddBlock(traits, block, x, tile, b, sums + (tile - tile0) * kTileTokens);
  }
}

struct ScalarQuant : PlainOutput {
  template <PanelKind>
  static void AddPanel(const QuantPanels& w, const QuantizedActivations& x, int64_t panel, int64_t begin, int64_t end,
                       int64_t tile0, int64_t tile1, float (*sums)[16]) {
    AddPanelBlocks(w, x, panel, begin, end, tile0, tile1, sums);
  }
  template <PanelKind>
  static void WidenChunk(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, float* out) {
    WidenBlocks(w, panel, begin, end, out);
  }
  static void AddChunkTokens(const float* weights, const float* x, int64_t stride, int64_t count, int64_t tokens,
                             float (*totals)[16]) {
    for (int64_t t = 0; t < tokens; t++) AddChunk(weights, x + t * stride, count, totals[t]);
  }
};

}  // namespace
}  // namespace octavo
