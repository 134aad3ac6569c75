// Where the tasks of a product with a block-quantized weight leave their results: in the parts of an output, or gated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gate_rows.h"
#include "linear_quant.h"

namespace octavo {

static inline int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Panels that a task takes at most.
constexpr int64_t kMaxTaskPanels = 8;
/// Units, of one panel or two, that a thread takes at a time where weights stream.
constexpr int64_t kStreamUnits = 8;
/// Tokens whose gate and up projection wait for each other, in tiles: with kMaxTaskPanels panels 128 KiB.
constexpr int64_t kGatedTiles = 16;

/// A product's results go to the arrays of the parts that their rows belong to.
class PartsOutput {
 public:
  PartsOutput(const LinearPart* parts, int64_t num_parts, const QuantPanels& panels, const float* bias)
      : parts_(parts), num_parts_(num_parts), num_panels_(panels.NumPanels()), bias_(bias) {}

  /// A unit is what may not be split over tasks.
  static constexpr int64_t kPanelsPerUnit = 1;
  int64_t NumUnits() const { return num_panels_; }

  /// Units and tiles, half-open.
  template <typename Run>
  void RunTask(const QuantTask& task, int /*thread*/, const Run& run) const {
    int64_t first = 0;
    for (int64_t i = 0; i < num_parts_; i++) {
      const LinearPart& part = parts_[i];
      const int64_t end = first + CeilDiv(part.rows, kPanelRows);
      QuantTask share = task;
      if (share.panel_begin < first) share.panel_begin = first;
      if (share.panel_end > end) share.panel_end = end;
      share.y = part.y + task.tile_begin * kTileTokens * part.rows + (share.panel_begin - first) * kPanelRows;
      share.y_stride = part.rows;
      share.bias = bias_;
      if (share.panel_begin < share.panel_end) run(share);
      first = end;
    }
  }

 private:
  const LinearPart* const parts_;
  const int64_t num_parts_;
  const int64_t num_panels_;
  const float* const bias_;
};

/// y [n, rows / 2] = act(gate) * up: a unit is a panel of the gate and its counterpart.
class GatedOutput {
 public:
  GatedOutput(float* y, GatedKind kind, const QuantPanels& panels, const LinearInput& input, ThreadPool& pool)
      : y_(y),
        gate_(kind),
        num_units_(panels.rows / 2 / kPanelRows),
        n_(input.n),
        bias_(input.bias),
        scratch_size_(ScratchSize(input.n)),
        scratch_(pool.scratch(), static_cast<size_t>(scratch_size_ * pool.num_threads()) * sizeof(float)) {}

  static constexpr int64_t kPanelsPerUnit = 2;
  int64_t NumUnits() const { return num_units_; }

  template <typename Run>
  void RunTask(const QuantTask& task, int thread, const Run& run) const {
    const int64_t features = num_units_ * kPanelRows;
    const int64_t width = (task.panel_end - task.panel_begin) * kPanelRows;
    float* const gate = scratch_.As<float>() + thread * scratch_size_;
    float* const up = gate + width;
    for (int64_t tile = task.tile_begin; tile < task.tile_end; tile += kGatedTiles) {
      const int64_t tile_end = tile + kGatedTiles < task.tile_end ? tile + kGatedTiles : task.tile_end;
      run(QuantTask{task.panel_begin, task.panel_end, tile, tile_end, gate, 2 * width, bias_});
      run(QuantTask{num_units_ + task.panel_begin, num_units_ + task.panel_end, tile, tile_end, up, 2 * width, bias_});
      const int64_t token = tile * kTileTokens;
      const int64_t tokens = (tile_end * kTileTokens < n_ ? tile_end * kTileTokens : n_) - token;
      float* const y = y_ + token * features + task.panel_begin * kPanelRows;
      gate_.Run(y, features, GateInput{gate, up, 2 * width}, tokens, width);
    }
  }

 private:
  static int64_t ScratchSize(int64_t n) {
    if (n <= kTileTokens) return n * 2 * kStreamUnits * kPanelRows;
    return (n < kGatedTiles * kTileTokens ? n : kGatedTiles * kTileTokens) * kMaxTaskPanels * kPanelRows;
  }

  float* const y_;
  const GateRows gate_;
  const int64_t num_units_;
  const int64_t n_;
  const float* const bias_;
  const int64_t scratch_size_;  // of one thread: [tokens][panels of gate, then of up][16 rows]
  const ScratchPool::Block scratch_;
};

}  // namespace octavo
