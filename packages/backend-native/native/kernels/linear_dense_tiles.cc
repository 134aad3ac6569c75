// Dense weights for matrix tiles: packing, and how a product is cut into tasks.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "gate_rows.h"
#include "kernel_table.h"
#include "linear_dense.h"
#include "linear_dense_memory.h"
#include "linear_dense_values.h"

namespace octavo {

namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kElementsPerStep = kAmxPanel * kAmxStep;
constexpr int64_t kStepBytes = kElementsPerStep * static_cast<int64_t>(sizeof(uint16_t));

/// Where W[row of panel][k] lies in its panel.
int64_t ElementIndex(Format format, int64_t row, int64_t k) {
  const int64_t in_step = k % kAmxStep;
  const int64_t base = k / kAmxStep * kElementsPerStep + row / 16 * (kElementsPerStep / 2) + in_step / 2 * 32;
  return base + (format == Format::kBfloat16 ? row % 16 * 2 + in_step % 2 : in_step % 2 * 16 + row % 16);
}

int64_t WeightParts(Format format) { return format == Format::kBfloat16 ? 1 : 2; }

/// Of a chunk.
constexpr int64_t kMaxTokens = 192;

class TileMatrix final : public Matrix {
 public:
  TileMatrix(Format format, int64_t rows, int64_t cols)
      : Matrix(rows, cols),
        format_(format),
        kernels_(Kernels().dense_tiles),
        num_panels_(CeilDiv(rows, kAmxPanel)),
        num_steps_(CeilDiv(cols, kAmxStep)),
        weights_(static_cast<size_t>(num_panels_ * num_steps_ * kStepBytes)) {}

  /// False where a value is not finite or rows could not be read.
  bool Pack(const StoredRows& stored, ThreadPool& pool) {
    std::atomic<bool> is_finite{true};
    const bool is_complete = PackPanels(stored, kAmxPanel, pool, [&](int64_t panel, const uint8_t* const* panel_rows) {
      PackPanel(panel, panel_rows);
      if (!IsFinite(panel)) is_finite = false;
    });
    return is_complete && is_finite;
  }

  void LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                   ThreadPool& pool) const override {
    ForBlocks(input, pool, [&](const Block& block, const Scratch& scratch) {
      ForTasks(num_panels_, pool, [&](int64_t begin, int64_t end, int thread) {
        int64_t i = 0, first = 0;
        for (int64_t panel = begin; panel < end; panel++) {
          for (; i + 1 < num_parts && panel * kAmxPanel >= first + parts[i].rows; i++) first += parts[i].rows;
          const int64_t stride = parts[i].rows;
          float* const y = parts[i].y + block.first_token * stride + panel * kAmxPanel - first;
          MultiplyPanel(scratch, block, input.bias, {panel, panel + 1 < end, thread}, y, stride);
        }
      });
    });
  }

  /// The sums of a panel of the gate and its counterpart wait side by side for their last block of k, which takes less
  /// time than waiting in rows of y.
  void GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const override {
    constexpr int64_t kStride = 2 * kAmxPanel;
    const GateRows gate(kind);
    const int64_t features = rows / 2, num_units = features / kAmxPanel, unit_size = ChunkOf(input.n) * kStride;
    const ScratchPool::Block memory(pool.scratch(), static_cast<size_t>(ChunkOf(input.n) * rows) * sizeof(float));
    float* const sums = memory.As<float>();
    ForBlocks(input, pool, [&](const Block& block, const Scratch& scratch) {
      const bool is_last = block.first_step + block.num_steps == num_steps_;
      ForTasks(num_units, pool, [&](int64_t begin, int64_t end, int thread) {
        float* const first = sums + begin * unit_size;
        float* at = first;
        for (int64_t i = begin; i < end; i++, at += unit_size)
          MultiplyPanel(scratch, block, input.bias, {i, i + 1 < end, thread}, at, kStride);
        at = first + kAmxPanel;
        for (int64_t i = begin; i < end; i++, at += unit_size)
          MultiplyPanel(scratch, block, input.bias, {num_units + i, i + 1 < end, thread}, at, kStride);
        at = first;
        for (int64_t i = begin; i < end && is_last; i++, at += unit_size) {
          gate.Run(y + block.first_token * features + i * kAmxPanel, features, GateInput{at, at + kAmxPanel, kStride},
                   block.n, kAmxPanel);
        }
      });
    });
  }

  int64_t PanelRows() const override { return kAmxPanel; }

  void ReadRow(int64_t row, float* out) const override {
    const uint16_t* panel = Panel(row / kAmxPanel);
    for (int64_t k = 0; k < cols; k++) {
      const uint16_t bits = panel[ElementIndex(format_, row % kAmxPanel, k)];
      out[k] = format_ == Format::kFloat16 ? FloatFromHalf(bits) : FloatFromBfloat16(bits);
    }
  }

  size_t Bytes() const override { return static_cast<size_t>(num_panels_ * num_steps_ * kStepBytes); }

 private:
  /// A stretch of k of a chunk of tokens.
  struct Block {
    int64_t first_token;
    int64_t first_step;
    int64_t num_steps;
    int64_t n;
  };

  struct Scratch {
    uint16_t* x;              // a block's activations, taken apart
    uint16_t* slices;         // [thread]: some steps of a panel, taken apart
    int64_t slice_steps;
    int64_t slice_elements;
  };

  struct PanelTask {
    int64_t panel;
    bool has_next;  // the same thread's next panel follows it
    int thread;
  };

  /// Equal chunks of whole pairs of tiles: a short last one would read all weights for little.
  static int64_t ChunkOf(int64_t n) {
    constexpr int64_t kPair = 2 * kAmxTokens;
    return n == 0 ? 0 : std::min(n, CeilDiv(CeilDiv(n, CeilDiv(n, kMaxTokens)), kPair) * kPair);
  }

  /// Calls run(block, scratch) with the block's activations taken apart.
  template <typename Run>
  void ForBlocks(const LinearInput& input, ThreadPool& pool, const Run& run) const {
    const auto [x, n, bias] = input;
    if (n == 0) return;
    // A block of k of a chunk of tokens stays in L2 while all panels pass by; the sums wait in y between blocks of k.
    constexpr int64_t kMaxTokenSteps = kMaxTokens * 32;
    const int64_t chunk = ChunkOf(n);
    const int64_t block_steps = std::min(kMaxTokenSteps / chunk, num_steps_);
    // Taken apart, weights that meet one tile of tokens are used at once, in L1; else they wait for the others in L2.
    const bool is_split = WeightParts(format_) > 1;
    const int64_t slice_steps = is_split ? std::min<int64_t>(block_steps, chunk <= kAmxTokens ? 4 : 32) : block_steps;
    const int64_t split_elements = chunk * block_steps * kAmxParts * kAmxStep;
    const int64_t slice_elements = is_split ? slice_steps * WeightParts(format_) * kElementsPerStep : 0;
    const int64_t num_elements = split_elements + slice_elements * pool.num_threads();
    const ScratchPool::Block memory(pool.scratch(), static_cast<size_t>(num_elements) * sizeof(uint16_t));
    uint16_t* elements = memory.As<uint16_t>();
    const Scratch scratch = {elements, elements + split_elements, slice_steps, slice_elements};
    for (int64_t token = 0; token < n; token += chunk) {
      for (int64_t step = 0; step < num_steps_; step += block_steps) {
        const Block block = {token, step, std::min(block_steps, num_steps_ - step), std::min(chunk, n - token)};
        Split(scratch.x, x + token * cols, block, pool);
        run(block, scratch);
      }
    }
  }

  uint16_t* Panel(int64_t panel) const { return weights_.As<uint16_t>() + panel * num_steps_ * kElementsPerStep; }

  /// Half a step is 32 k of sixteen rows: pairs of bfloat16 as they are, or halves one by one.
  void PackPanel(int64_t panel, const uint8_t* const* panel_rows) const {
    const PackKernels& pack = Kernels().pack;
    constexpr int64_t kHalf = kStepBytes / 2;
    uint8_t* out = reinterpret_cast<uint8_t*>(Panel(panel));
    for (int64_t step = 0; step < num_steps_; step++) {
      const int64_t first_k = step * kAmxStep;
      const int64_t num_k = std::min(kAmxStep, cols - first_k);
      for (int64_t row = 0; row < kAmxPanel; row += kPackedRows, out += kHalf) {
        if (num_k < kAmxStep) std::memset(out, 0, kHalf);
        if (format_ == Format::kFloat16) {
          pack.halves(panel_rows + row, 2 * first_k, num_k, out, 32);
          continue;
        }
        pack.words(panel_rows + row, 2 * first_k, num_k / 2, out, 64);
        for (int64_t r = 0; r < kPackedRows && num_k % 2 != 0; r++)
          std::memcpy(out + num_k / 2 * 64 + 4 * r, panel_rows[row + r] + 2 * (cols - 1), 2);
      }
    }
  }

  /// Whether no value of a packed panel is infinite or NaN.
  bool IsFinite(int64_t panel) const {
    const uint16_t exponent = format_ == Format::kFloat16 ? 0x7c00 : 0x7f80;
    const uint16_t* values = Panel(panel);
    uint16_t num_special = 0;
    for (int64_t i = 0; i < num_steps_ * kElementsPerStep; i++)
      num_special |= static_cast<uint16_t>((values[i] & exponent) == exponent);
    return num_special == 0;
  }

  void Split(uint16_t* out, const float* x, const Block& block, ThreadPool& pool) const {
    const int64_t first_k = block.first_step * kAmxStep;
    const int64_t num_k = std::min(block.num_steps * kAmxStep, cols - first_k);
    const auto split_tile = [&](int64_t tile, int) {
      const int64_t token = tile * kAmxTokens;
      kernels_.split(out + token * block.num_steps * kAmxParts * kAmxStep, x + token * cols + first_k, cols,
               std::min(kAmxTokens, block.n - token), num_k);
    };
    // Waking the pool costs more than a small copy.
    constexpr int64_t kWorthSharing = 64 * 1024;
    const int64_t num_tiles = CeilDiv(block.n, kAmxTokens);
    if (block.n * num_k >= kWorthSharing) {
      pool.ParallelFor(num_tiles, split_tile);
    } else {
      for (int64_t tile = 0; tile < num_tiles; tile++) split_tile(tile, 0);
    }
  }

  /// Calls run(begin, end, thread) for units of one panel or two.
  template <typename Run>
  static void ForTasks(int64_t num_units, ThreadPool& pool, const Run& run) {
    // Neighbours in one task, so that a thread knows which weights it needs next.
    const int64_t group = std::clamp<int64_t>(num_units / (8 * pool.num_threads()), 1, 8);
    pool.ParallelFor(CeilDiv(num_units, group), [&](int64_t task, int thread) {
      run(task * group, std::min(num_units, (task + 1) * group), thread);
    });
  }

  /// `y`: where the block's first token's result of the panel's first row goes.
  void MultiplyPanel(const Scratch& scratch, const Block& block, const float* bias, const PanelTask& task, float* y,
                     int64_t y_stride) const {
    const auto [panel, has_next, thread] = task;
    const int64_t first_row = panel * kAmxPanel;
    for (int64_t start = 0; start < block.num_steps; start += scratch.slice_steps) {
      const int64_t first_step = block.first_step + start;
      const uint16_t* stored = Panel(panel) + first_step * kElementsPerStep;
      AmxBlock args = {};
      args.num_steps = std::min(scratch.slice_steps, block.num_steps - start);
      args.weight_parts = WeightParts(format_);
      args.weights = TakeApart(scratch.slices + thread * scratch.slice_elements, stored, args.num_steps);
      args.x = scratch.x;
      args.x_start = start;
      args.x_steps = block.num_steps;
      // With one pass over the weights they come from memory as fast as it gives them: stay 8 KiB ahead, where the
      // hardware's own prefetcher would stop at every 4 KiB. With more, the next panel has the whole time of this one.
      if (block.n <= 2 * kAmxTokens) args.next = stored + 4096;
      else if (has_next) args.next = stored + num_steps_ * kElementsPerStep;
      args.next_step_bytes = kStepBytes;
      args.n = block.n;
      args.y = y;
      args.y_stride = y_stride;
      args.num_rows = rows - first_row;
      args.is_first = first_step == 0;
      if (bias != nullptr && first_step + args.num_steps == num_steps_) args.bias = bias + first_row;
      kernels_.multiply(args);
    }
  }

  const uint16_t* TakeApart(uint16_t* out, const uint16_t* stored, int64_t num_steps) const {
    if (format_ == Format::kBfloat16) return stored;
    kernels_.split_half(out, stored, num_steps);
    return out;
  }

  const Format format_;
  const DenseTileKernels& kernels_;
  const int64_t num_panels_;
  const int64_t num_steps_;
  DenseMemory weights_;
};

}  // namespace

std::unique_ptr<Matrix> TryMakeTileMatrix(Format format, int64_t cols, const StoredRows& stored, ThreadPool& pool) {
  if (Kernels().dense_tiles.multiply == nullptr) return nullptr;
  if (stored.rows() == 0 || cols == 0 || format == Format::kFloat32) return nullptr;
  auto matrix = std::make_unique<TileMatrix>(format, stored.rows(), cols);
  if (!matrix->Pack(stored, pool)) return nullptr;
  return matrix;
}

}  // namespace octavo
