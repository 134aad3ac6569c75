// Dense and grouped weights: packing, and how a product is cut into tasks.
#include "linear_dense.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "../grouped_matrix.h"
#include "gate_rows.h"
#include "kernel_table.h"
#include "linear_dense_memory.h"
#include "linear_dense_values.h"

namespace octavo {
namespace {

/// Far enough that memory answers in time; the hardware's own prefetcher stops at every 4 KiB.
constexpr int64_t kAheadBytes = 8192;

/// Tokens whose gate and up projection wait for each other: 256 KiB at most.
constexpr int64_t kGatedTokens = 1024;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t ElementBytes(Format format) { return format == Format::kFloat32 ? 4 : 2; }

/// x [width, cols] -> out [num_k][width] from `first_k` on.
void PackActivations(float* out, const float* x, int64_t cols, int64_t first_k, int64_t num_k, int64_t width) {
  for (int64_t i = 0; i < width; i++) {
    const float* row = x + i * cols + first_k;
    for (int64_t k = 0; k < num_k; k++) out[k * width + i] = row[k];
  }
}

/// A matrix of panels that the tile kernels of dense weights multiply; where these come from is the subclass's.
class PanelMatrix : public Matrix {
 public:
  PanelMatrix(int64_t rows, int64_t cols) : Matrix(rows, cols), kernels_(Kernels().dense), num_panels_(CeilDiv(rows, kernels_.panel_rows)) {}

  void LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                   ThreadPool& pool) const override {
    ForChunks(input, MaxChunk(), pool, [&](const Chunk& chunk) {
      ForTasks(chunk, num_panels_, pool, [&](int64_t panel, const Tiles& tiles, int) {
        int64_t i = 0, first_row = panel * kernels_.panel_rows;
        for (; i + 1 < num_parts && first_row >= parts[i].rows; i++) first_row -= parts[i].rows;
        const int64_t stride = parts[i].rows;
        RunPanel(chunk, tiles, panel, parts[i].y + (chunk.start + tiles.first_token) * stride + first_row, stride);
      });
    });
  }

  void GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const override {
    const GateRows gate(kind);
    const int64_t panel_rows = kernels_.panel_rows, features = rows / 2, num_units = features / panel_rows;
    const int64_t max_chunk = std::min(MaxChunk(), kGatedTokens / kernels_.max_width * kernels_.max_width);
    const int64_t scratch_size = std::min(input.n, max_chunk) * 2 * panel_rows;
    const ScratchPool::Block scratch(pool.scratch(), static_cast<size_t>(scratch_size * pool.num_threads()) * sizeof(float));
    ForChunks(input, max_chunk, pool, [&](const Chunk& chunk) {
      ForTasks(chunk, num_units, pool, [&](int64_t unit, const Tiles& tiles, int thread) {
        const int64_t stride = 2 * panel_rows;
        float* const gates = scratch.As<float>() + thread * scratch_size;
        float* const ups = gates + panel_rows;
        RunPanel(chunk, tiles, unit, gates, stride);
        RunPanel(chunk, tiles, num_units + unit, ups, stride);
        gate.Run(y + (chunk.start + tiles.first_token) * features + unit * panel_rows, features,
                 GateInput{gates, ups, stride}, tiles.num_tokens, panel_rows);
      });
    });
  }

  int64_t PanelRows() const override { return kernels_.panel_rows; }

 protected:
  /// A block of columns of a panel.
  struct Block {
    const void* weights;
    Format format;        // that they have there
    const uint8_t* next;  // what to bring into the cache meanwhile, or null
    int64_t next_bytes;
    int64_t ahead;        // bytes that weights stream ahead of their use; 0: they do not
  };

  /// `is_reused`: by more than two tiles of tokens, so that it pays to widen it once, into `scratch`
  /// [kDenseBlock][kMaxPanelRows].
  virtual Block BlockOf(int64_t panel, int64_t first_k, int64_t num_k, bool is_reused, float* scratch) const = 0;

  const DenseKernels& kernels_;
  const int64_t num_panels_;

 private:
  /// Activation rows that are packed and multiplied together.
  struct Chunk {
    int64_t start;
    const float* x;  // packed: [block][tile][k][width]; one row alone needs no packing
    int64_t n;
    const float* bias;
    int64_t num_tiles;

    /// Tiles differ by one row at most: 13 rows make 7 + 6, not 12 + 1.
    int64_t TileStart(int64_t tile) const { return n * tile / num_tiles; }
  };

  /// One task's share of a chunk: tiles [first, last).
  struct Tiles {
    int64_t first, last;
    int64_t first_token;  // of the chunk
    int64_t num_tokens;
  };

  /// The packed activations of a chunk stay within about a core's L2, with tiles enough to pay for a widened block.
  int64_t MaxChunk() const {
    constexpr int64_t kFloats = 256 * 1024;
    const int64_t tiles = std::max<int64_t>(kFloats / cols / kernels_.max_width, 8);
    return tiles * kernels_.max_width;
  }

  template <typename Run>
  void ForChunks(const LinearInput& input, int64_t max_chunk, ThreadPool& pool, const Run& run) const {
    const auto [x, n, bias] = input;
    if (n == 0) return;
    const int64_t size = CeilDiv(n, CeilDiv(n, max_chunk));
    const ScratchPool::Block packed(pool.scratch(), n > 1 ? static_cast<size_t>(std::min(n, size) * cols) * sizeof(float) : 0);
    for (int64_t start = 0; start < n; start += size) {
      Chunk chunk = {start, x + start * cols, std::min(size, n - start), bias, 0};
      chunk.num_tiles = CeilDiv(chunk.n, kernels_.max_width);
      if (chunk.n > 1) chunk.x = PackChunk(packed.As<float>(), chunk, pool);
      run(chunk);
    }
  }

  /// Calls run(unit, tiles, thread); tokens are split too where units are too few for the threads.
  template <typename Run>
  static void ForTasks(const Chunk& chunk, int64_t num_units, ThreadPool& pool, const Run& run) {
    const int64_t wanted = CeilDiv(4 * pool.num_threads(), num_units);
    const int64_t num_groups = pool.num_threads() == 1 ? 1 : std::min(wanted, chunk.num_tiles);
    pool.ParallelFor(num_units * num_groups, [&](int64_t task, int thread) {
      const int64_t group = task % num_groups;
      const int64_t first = chunk.num_tiles * group / num_groups, last = chunk.num_tiles * (group + 1) / num_groups;
      const int64_t token = chunk.TileStart(first);
      run(task / num_groups, Tiles{first, last, token, chunk.TileStart(last) - token}, thread);
    });
  }

  const float* PackChunk(float* out, const Chunk& chunk, ThreadPool& pool) const {
    const auto pack_block = [&](int64_t block, int) {
      const int64_t first_k = block * kDenseBlock;
      const int64_t num_k = std::min(kDenseBlock, cols - first_k);
      for (int64_t tile = 0; tile < chunk.num_tiles; tile++) {
        const int64_t start = chunk.TileStart(tile);
        PackActivations(out + first_k * chunk.n + start * num_k, chunk.x + start * cols, cols, first_k, num_k,
                        chunk.TileStart(tile + 1) - start);
      }
    };
    // Waking the pool costs more than a small copy.
    constexpr int64_t kWorthSharing = 64 * 1024;
    const int64_t num_blocks = CeilDiv(cols, kDenseBlock);
    if (chunk.n * cols >= kWorthSharing) {
      pool.ParallelFor(num_blocks, pack_block);
    } else {
      for (int64_t block = 0; block < num_blocks; block++) pack_block(block, 0);
    }
    return out;
  }

  /// `y`: where the first token's result of the panel's first row goes; `stride`: from a token's to the next one's.
  void RunPanel(const Chunk& chunk, const Tiles& tiles, int64_t panel, float* y, int64_t stride) const {
    const bool is_reused = tiles.last - tiles.first > 2;
    const int64_t first_row = panel * kernels_.panel_rows;
    alignas(64) float scratch[kDenseBlock * kMaxPanelRows];
    for (int64_t first_k = 0; first_k < cols; first_k += kDenseBlock) {
      const int64_t num_k = std::min(kDenseBlock, cols - first_k);
      const Block block = BlockOf(panel, first_k, num_k, is_reused, scratch);
      const float* bias = first_k + num_k == cols && chunk.bias != nullptr ? chunk.bias + first_row : nullptr;
      for (int64_t tile = tiles.first; tile < tiles.last; tile++) {
        if (block.next != nullptr) PrefetchShare(block.next, block.next_bytes, tile - tiles.first, tiles.last - tiles.first);
        const int64_t start = chunk.TileStart(tile);
        const int64_t width = chunk.TileStart(tile + 1) - start;
        DenseTile args = {};
        args.weights = block.weights;
        args.ahead = tile == tiles.first ? block.ahead : 0;
        args.x = chunk.x + first_k * chunk.n + start * num_k;
        args.num_k = num_k;
        args.y = y + (start - tiles.first_token) * stride;
        args.y_stride = stride;
        args.num_rows = rows - first_row;
        args.is_first = first_k == 0;
        args.bias = bias;
        kernels_.tile[static_cast<int>(block.format)][width - 1](args);
      }
    }
  }

  /// One tile's share of the next block, so that it arrives while this block is multiplied.
  static void PrefetchShare(const uint8_t* block, int64_t bytes, int64_t tile, int64_t num_tiles) {
    const int64_t end = bytes * (tile + 1) / num_tiles;
    for (int64_t at = bytes * tile / num_tiles; at < end; at += 64) __builtin_prefetch(block + at, 0, 2);
  }
};

class DenseMatrix final : public PanelMatrix {
 public:
  DenseMatrix(Format format, int64_t rows, int64_t cols)
      : PanelMatrix(rows, cols),
        format_(format),
        panel_bytes_(PaddedCols() * kernels_.panel_rows * ElementBytes(format)),
        data_(static_cast<size_t>(num_panels_ * panel_bytes_)) {}

  /// False where rows could not be read.
  bool Pack(const StoredRows& stored, ThreadPool& pool) {
    return PackPanels(stored, kernels_.panel_rows, pool, [&](int64_t panel, const uint8_t* const* panel_rows) {
      uint8_t* out = data_.As<uint8_t>() + panel * panel_bytes_;
      if (format_ == Format::kFloat16) return PackElements<2>(out, panel_rows, cols);
      if (format_ == Format::kFloat32) return PackElements<4>(out, panel_rows, cols);
      PackElements<4>(out, panel_rows, cols / 2);
      if (cols % 2 != 0) PackLastHalfPair(reinterpret_cast<uint16_t*>(out), panel_rows);
    });
  }

  void ReadRow(int64_t row, float* out) const override {
    const uint8_t* panel = Panel(row / kernels_.panel_rows);
    const int64_t lane = row % kernels_.panel_rows;
    for (int64_t k = 0; k < cols; k++) {
      const int64_t step = format_ == Format::kBfloat16 ? 2 : 1;
      const int64_t index = (k / step * kernels_.panel_rows + lane) * step + k % step;
      out[k] = ReadElement(panel, index);
    }
  }

  size_t Bytes() const override { return static_cast<size_t>(num_panels_ * panel_bytes_); }

 private:
  Block BlockOf(int64_t panel, int64_t first_k, int64_t num_k, bool is_reused, float* scratch) const override {
    const int64_t bytes = kDenseBlock * kernels_.panel_rows * ElementBytes(format_);
    const uint8_t* stored = Panel(panel) + first_k * kernels_.panel_rows * ElementBytes(format_);
    if (!is_reused) return {stored, format_, nullptr, 0, kAheadBytes};
    if (format_ == Format::kFloat32) return {stored, format_, stored + bytes, bytes, 0};
    kernels_.widen[static_cast<int>(format_)](scratch, stored, num_k);
    return {scratch, Format::kFloat32, stored + bytes, bytes, 0};
  }

  int64_t PaddedCols() const { return format_ == Format::kBfloat16 ? cols + cols % 2 : cols; }

  const uint8_t* Panel(int64_t panel) const { return data_.As<uint8_t>() + panel * panel_bytes_; }

  float ReadElement(const uint8_t* panel, int64_t index) const {
    if (format_ == Format::kFloat32) return reinterpret_cast<const float*>(panel)[index];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(panel)[index];
    return format_ == Format::kFloat16 ? FloatFromHalf(bits) : FloatFromBfloat16(bits);
  }

  /// out[i][row] = element i of the row.
  template <int64_t kBytes>
  void PackElements(uint8_t* out, const uint8_t* const* panel_rows, int64_t count) const {
    const int64_t stride = kernels_.panel_rows * kBytes;
    const PackKernels& pack = Kernels().pack;
    const auto sixteen = kBytes == 4 ? pack.words : pack.halves;
    int64_t row = 0;
    for (; row + kPackedRows <= kernels_.panel_rows; row += kPackedRows)
      sixteen(panel_rows + row, 0, count, out + row * kBytes, stride);
    for (; row < kernels_.panel_rows; row++) {
      for (int64_t i = 0; i < count; i++)
        std::memcpy(out + i * stride + row * kBytes, panel_rows[row] + i * kBytes, kBytes);
    }
  }

  void PackLastHalfPair(uint16_t* out, const uint8_t* const* panel_rows) const {
    uint16_t* pairs = out + (cols - 1) * kernels_.panel_rows;
    for (int64_t row = 0; row < kernels_.panel_rows; row++) {
      std::memcpy(pairs + 2 * row, panel_rows[row] + (cols - 1) * 2, 2);
      pairs[2 * row + 1] = 0;
    }
  }

  const Format format_;
  const int64_t panel_bytes_;
  DenseMemory data_;
};

/// A grouped weight whose rows stay as stored: each block of a panel is widened for its products.
class WidenedMatrix final : public PanelMatrix {
 public:
  WidenedMatrix(int64_t rows, const GroupedSpec& spec) : PanelMatrix(rows, spec.cols), spec_(spec) {}

  /// False where rows could not be read.
  bool Read(const StoredPlanes& planes) {
    for (const auto& plane : planes) {
      const int64_t row_bytes = plane->row_bytes();
      std::vector<uint8_t>& own = planes_.emplace_back(static_cast<size_t>(rows * row_bytes));
      for (int64_t row = 0; row < rows; row++) {
        uint8_t* const to = own.data() + row * row_bytes;
        const uint8_t* from = nullptr;
        if (!plane->Read(row, 1, to, &from)) return false;
        if (from != to) std::memcpy(to, from, static_cast<size_t>(row_bytes));
      }
    }
    return true;
  }

  void ReadRow(int64_t row, float* out) const override { WidenRow(row, 0, cols, out, 1); }

  size_t Bytes() const override {
    size_t bytes = 4 * (spec_.order.size() + spec_.values.size());
    for (const auto& plane : planes_) bytes += plane.size();
    return bytes;
  }

 private:
  Block BlockOf(int64_t panel, int64_t first_k, int64_t num_k, bool, float* scratch) const override {
    const int64_t panel_rows = kernels_.panel_rows;
    for (int64_t lane = 0; lane < panel_rows; lane++) {
      const int64_t row = panel * panel_rows + lane;
      if (row < rows) WidenRow(row, first_k, num_k, scratch + lane, panel_rows);
      else for (int64_t k = 0; k < num_k; k++) scratch[k * panel_rows + lane] = 0.0f;
    }
    return {scratch, Format::kFloat32, nullptr, 0, 0};
  }

  float Scale(const uint8_t* scales, int64_t group) const {
    if (spec_.scale_format == Format::kFloat32) {
      float value;
      std::memcpy(&value, scales + 4 * group, sizeof value);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, scales + 2 * group, sizeof bits);
    return spec_.scale_format == Format::kFloat16 ? FloatFromHalf(bits) : FloatFromBfloat16(bits);
  }

  /// Columns [first_k, first_k + num_k) of a row, `stride` floats apart.
  void WidenRow(int64_t row, int64_t first_k, int64_t num_k, float* out, int64_t stride) const {
    const uint8_t* codes = planes_[0].data() + row * spec_.CodeStride();
    const uint8_t* scales = planes_[1].data() + row * spec_.ScaleStride();
    const uint8_t* zeros = spec_.has_zeros ? planes_[2].data() + row * spec_.NumGroups() : nullptr;
    const int64_t bits = spec_.bits;
    int64_t last_group = -1;
    float scale = 0.0f;
    for (int64_t k = first_k; k < first_k + num_k; k++, out += stride) {
      // At most two bytes hold a code, and a row is whole words.
      const int64_t bit = k * bits;
      uint32_t code = codes[bit / 8];
      if (bit % 8 + bits > 8) code |= static_cast<uint32_t>(codes[bit / 8 + 1]) << 8;
      code = code >> bit % 8 & ((1u << bits) - 1);
      const int64_t group = spec_.GroupOf(k);
      if (group != last_group) scale = Scale(scales, last_group = group);
      const float value = spec_.values[code];
      *out = (zeros == nullptr ? value : value - static_cast<float>(zeros[group])) * scale;
    }
  }

  const GroupedSpec spec_;
  std::vector<std::vector<uint8_t>> planes_;
};

}  // namespace

std::unique_ptr<Matrix> MakeDenseMatrix(Format format, int64_t cols, const StoredRows& stored, ThreadPool& pool) {
  if (std::unique_ptr<Matrix> matrix = TryMakeTileMatrix(format, cols, stored, pool)) return matrix;
  auto matrix = std::make_unique<DenseMatrix>(format, stored.rows(), cols);
  if (!matrix->Pack(stored, pool)) return nullptr;
  return matrix;
}

std::unique_ptr<Matrix> MakeWidenedMatrix(const GroupedSpec& spec, const StoredPlanes& planes) {
  auto matrix = std::make_unique<WidenedMatrix>(planes[0]->rows(), spec);
  if (!matrix->Read(planes)) return nullptr;
  return matrix;
}

}  // namespace octavo
