// How a task with a block-quantized weight is walked: once for all instruction sets, over what each brings. Everything is
// internal to the file that includes it.
//
// A Kernel is {
//   kDriverPanels: panels that take turns at one stretch of k, where tokens are many;
//   kWholeKTokens: up to so many tokens a panel streams from memory once, in order, instead of in stretches;
//   PrefetchOutput(task, panel0, panel1, token0, tokens), StoreRows(task, rows, panel, token, sums[16]),
//   AddPanel<kind>(w, x, panel, begin, end, tile0, tile1, sums): adds blocks [begin, end) to sums [tile][16 tokens][16 rows],
//   WidenChunk<kind>(w, panel, begin, end, out): the weights of blocks [begin, end), [k][16 rows],
//   AddChunkTokens(weights, x, stride, count, tokens, totals): totals [tokens][16] += weights [count][16] x rows of x }.
#pragma once

#include "linear_quant.h"

namespace octavo {
namespace {

/// Tiles of tokens whose sums wait while the panels of a task pass by.
constexpr int64_t kDriverTiles = 4;

/// What a kernel without better ways to them takes.
struct PlainOutput {
  static constexpr int64_t kDriverPanels = 1;
  static constexpr int64_t kWholeKTokens = 0;

  static void PrefetchOutput(const QuantTask&, int64_t, int64_t, int64_t, int64_t) {}

  static void StoreRows(const QuantTask& task, int64_t rows, int64_t panel, int64_t token, const float* sums) {
    const int64_t first = panel * kPanelRows;
    const int64_t count = rows - first < kPanelRows ? rows - first : kPanelRows;
    float* y = task.At(token, panel);
    for (int64_t r = 0; r < count; r++) y[r] = task.bias == nullptr ? sums[r] : sums[r] + task.bias[first + r];
  }
};

/// Calls add_panel(panel, begin, end, tile_begin, tile_end, sums) as AddPanel above. With many tokens, panels take turns at
/// one stretch of k, so that the tokens' codes of that stretch stay in the first-level cache.
template <class Kernel, typename AddPanel>
void DriveInt8(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task, const AddPanel& add_panel) {
  constexpr int64_t kPanels = Kernel::kDriverPanels;
  alignas(64) float sums[kPanels][kDriverTiles * kTileTokens][16];
  const int64_t group = task.tile_end - task.tile_begin > kDriverTiles ? kPanels : 1;
  for (int64_t tile0 = task.tile_begin; tile0 < task.tile_end; tile0 += kDriverTiles) {
    const int64_t tile1 = tile0 + kDriverTiles < task.tile_end ? tile0 + kDriverTiles : task.tile_end;
    const int64_t token0 = tile0 * kTileTokens;
    const int64_t tokens = (tile1 * kTileTokens < x.n ? tile1 * kTileTokens : x.n) - token0;
    const int64_t step = tokens <= Kernel::kWholeKTokens ? w.blocks : kChunkBlocks;
    for (int64_t panel0 = task.panel_begin; panel0 < task.panel_end; panel0 += group) {
      const int64_t panel1 = panel0 + group < task.panel_end ? panel0 + group : task.panel_end;
      Kernel::PrefetchOutput(task, panel0, panel1, token0, tokens);
      for (int64_t panel = panel0; panel < panel1; panel++)
        __builtin_memset(sums[panel - panel0], 0, static_cast<size_t>(tokens) * 64);
      for (int64_t b = 0; b < w.blocks; b += step) {
        const int64_t end = b + step < w.blocks ? b + step : w.blocks;
        for (int64_t panel = panel0; panel < panel1; panel++)
          add_panel(panel, b, end, tile0, tile1, sums[panel - panel0]);
      }
      for (int64_t t = 0; t < tokens; t++) {
        for (int64_t panel = panel0; panel < panel1; panel++)
          Kernel::StoreRows(task, w.rows, panel, token0 + t, sums[panel - panel0][t]);
      }
    }
  }
}

template <class Kernel, PanelKind kKind>
void Int8(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task) {
  DriveInt8<Kernel>(
      w, x, task, [&](int64_t panel, int64_t begin, int64_t end, int64_t tile0, int64_t tile1, float (*sums)[16]) {
        Kernel::template AddPanel<kKind>(w, x, panel, begin, end, tile0, tile1, sums);
      });
}

template <class Kernel, PanelKind kKind>
void Float(const QuantPanels& w, const FloatActivations& x, const QuantTask& task) {
  constexpr int64_t kMaxTokens = 128;
  alignas(64) float weights[kChunkBlocks * kBlock * 16];
  alignas(64) float totals[kMaxTokens][16];
  const int64_t token_end = task.tile_end * kTileTokens < x.n ? task.tile_end * kTileTokens : x.n;
  for (int64_t token0 = task.tile_begin * kTileTokens; token0 < token_end; token0 += kMaxTokens) {
    const int64_t tokens = token_end - token0 < kMaxTokens ? token_end - token0 : kMaxTokens;
    for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
      __builtin_memset(totals, 0, static_cast<size_t>(tokens) * 64);
      for (int64_t b = 0; b < w.blocks; b += kChunkBlocks) {
        const int64_t end = b + kChunkBlocks < w.blocks ? b + kChunkBlocks : w.blocks;
        Kernel::template WidenChunk<kKind>(w, panel, b, end, weights);
        Kernel::AddChunkTokens(weights, x.x + token0 * w.cols + b * kBlock, w.cols, (end - b) * kBlock, tokens, totals);
      }
      for (int64_t t = 0; t < tokens; t++) Kernel::StoreRows(task, w.rows, panel, token0 + t, totals[t]);
    }
  }
}

/// For the table: any kind.
template <class Kernel>
void LinearInt8(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task) {
  WithIntegralKind(w.kind, [&](auto kind) { Int8<Kernel, decltype(kind)::value>(w, x, task); });
}

template <class Kernel>
void LinearFloat(const QuantPanels& w, const FloatActivations& x, const QuantTask& task) {
  WithKind(w.kind, [&](auto kind) { Float<Kernel, decltype(kind)::value>(w, x, task); });
}

}  // namespace
}  // namespace octavo
