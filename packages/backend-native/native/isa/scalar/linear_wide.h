#pragma once

#include <cmath>

#include "kernels/dequantize.h"
#include "kernels/linear_wide.h"

namespace octavo {

namespace {

/// Of each four columns, in the order in which they are stored.
constexpr int kPairOrder[4] = {0, 2, 1, 3};

/// A zero is a minimum here.
float WideMin(const PanelTraits& traits, const PlainBlock& block, int r) {
  return HasZeros(traits.scales) ? static_cast<float>(-block.zeros[r]) * block.scales[0][r] : block.mins[r];
}

/// Block `b` of a panel as fixed-point numbers [16 rows][32].
void ReadFixed(const WidePanels& w, int64_t panel, int64_t b, int32_t (*fixed)[kBlock]) {
  const PanelTraits traits = TraitsOf(w.panels.kind);
  const int shift = WideShift(traits);
  PlainBlock block;
  ReadPanelBlock(w.panels, panel, b, &block);
  for (int r = 0; r < kPanelRows; r++) {
    const float inverse = w.inverses[panel * kPanelRows + r];
    const float factor = inverse * static_cast<float>(1 << (15 - shift));
    const auto round = [&](float value) { return inverse == 0.0f ? 0 : static_cast<int32_t>(std::lrintf(value)); };
    const int32_t min = HasWideMin(traits) ? round(WideMin(traits, block, r) * inverse) : 0;
    for (int k = 0; k < kBlock; k++) {
      const int32_t m = round(block.scales[PartsOf(traits.scales) == 2 ? k / 16 : 0][r] * factor);
      fixed[r][k] = (((block.codes[r][k] * (1 << shift)) * m + (1 << 14)) >> 15) + min;
    }
  }
}

void WideUnitsScalar(const QuantPanels& panels, int64_t panel, float* units, float* inverses) {
  const PanelTraits traits = TraitsOf(panels.kind);
  const float code_bound = static_cast<float>(1 << (15 - WideShift(traits)));
  float largest[kPanelRows] = {};
  PlainBlock block;
  for (int64_t b = 0; b < panels.blocks; b++) {
    ReadPanelBlock(panels, panel, b, &block);
    for (int r = 0; r < kPanelRows; r++) {
      for (int part = 0; part < PartsOf(traits.scales); part++) {
        float bound = std::fabs(block.scales[part][r]) * code_bound;
        if (HasWideMin(traits)) bound += std::fabs(WideMin(traits, block, r));
        // A NaN stays, also where a later bound is none.
        if (!std::isnan(largest[r]) && !(bound <= largest[r])) largest[r] = bound;
      }
    }
  }
  for (int r = 0; r < kPanelRows; r++) SetUnit(largest[r], &units[r], &inverses[r]);
}

void QuantizeWideScalar(const WideActivations& out, const float* x, int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; token++) {
    for (int64_t chunk = 0; chunk < out.chunks; chunk++) {
      const int64_t first = chunk * kWideCols;
      const int64_t count = out.cols - first < kWideCols ? out.cols - first : kWideCols;
      const float* from = x + (token - begin) * out.cols + first;
      const float largest = MaxMagnitude(from, count);
      const bool is_zero = largest < kSmallestQuantized;
      const float inverse = is_zero || !std::isfinite(largest) ? 0.0f : 127.0f / largest;
      out.ScalesOf(chunk)[token] = is_zero ? 0.0f : largest / 127.0f;
      for (int64_t i = 0; i < count; i++) {
        const int32_t code = inverse == 0.0f ? 0 : static_cast<int32_t>(std::lrintf(from[i] * inverse));
        out.pairs[token * out.cols + first + i / 4 * 4 + kPairOrder[i % 4]] = static_cast<int16_t>(code);
      }
    }
  }
}

void LinearWideScalar(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  const QuantPanels& panels = w.panels;
  const int64_t token_end = task.tile_end * kTileTokens < x.n ? task.tile_end * kTileTokens : x.n;
  int32_t fixed[kPanelRows][kBlock];
  for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
    for (int64_t token0 = task.tile_begin * kTileTokens; token0 < token_end; token0 += kTileTokens) {
      const int64_t tokens = token_end - token0 < kTileTokens ? token_end - token0 : kTileTokens;
      float sums[kTileTokens][kPanelRows] = {};
      for (int64_t chunk = 0; chunk < x.chunks; chunk++) {
        int32_t dots[kTileTokens][kPanelRows] = {};
        const int64_t begin = chunk * kWideBlocks;
        const int64_t end = begin + kWideBlocks < panels.blocks ? begin + kWideBlocks : panels.blocks;
        for (int64_t b = begin; b < end; b++) {
          ReadFixed(w, panel, b, fixed);
          for (int64_t t = 0; t < tokens; t++) {
            const int16_t* codes = x.pairs + (token0 + t) * x.cols + b * kBlock;
            for (int r = 0; r < kPanelRows; r++) {
              for (int k = 0; k < kBlock; k++) dots[t][r] += fixed[r][k] * codes[k / 4 * 4 + kPairOrder[k % 4]];
            }
          }
        }
        for (int64_t t = 0; t < tokens; t++) {
          const float scale = x.ScalesOf(chunk)[token0 + t];
          for (int r = 0; r < kPanelRows; r++) sums[t][r] = std::fma(static_cast<float>(dots[t][r]), scale, sums[t][r]);
        }
      }
      for (int64_t t = 0; t < tokens; t++) {
        for (int64_t row = panel * kPanelRows; row < panels.rows && row < (panel + 1) * kPanelRows; row++) {
          const float value = sums[t][row - panel * kPanelRows] * w.units[row];
          task.At(token0 + t, panel)[row - panel * kPanelRows] = task.bias == nullptr ? value : value + task.bias[row];
        }
      }
    }
  }
}

}  // namespace
}  // namespace octavo
