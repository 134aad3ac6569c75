#include "linear_quant.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "../cpu_features.h"
#include "dequantize.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{1} << 21;

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
template <typename T>
using AlignedArray = std::unique_ptr<T[], FreeDeleter>;

/// Uninitialised. Throws std::bad_alloc.
template <typename T>
AlignedArray<T> AllocateAligned(size_t count) {
  const size_t bytes = count * sizeof(T);
  const size_t alignment = bytes >= 4 * kHugePage ? kHugePage : kAlignment;
  const size_t rounded = (bytes + alignment) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  // Fewer TLB misses while a weight streams past; only a hint.
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return AlignedArray<T>(static_cast<T*>(memory));
}

struct QuantKernels {
  void (*quantize)(const QuantizedActivations&, const float*, int64_t, int64_t, QuantizeOptions);
  void (*int8)(const QuantPanels&, const QuantizedActivations&, const QuantTask&);
  void (*float32)(const QuantPanels&, const FloatActivations&, const QuantTask&);
};

QuantKernels KernelsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAmx:
      return {QuantizeActivationsAvx512, LinearInt8Amx, LinearFloatAvx512};
    case Isa::kAvx512:
      return {QuantizeActivationsAvx512, LinearInt8Avx512, LinearFloatAvx512};
    case Isa::kAvx2:
      return {QuantizeActivationsAvx2, LinearInt8Avx2, LinearFloatAvx2};
#elif defined(__aarch64__)
    case Isa::kDotprod:
      return {QuantizeActivationsNeon, LinearInt8Dotprod, LinearFloatNeon};
    case Isa::kNeon:
      return {QuantizeActivationsNeon, LinearInt8Neon, LinearFloatNeon};
#endif
    default:
      return {QuantizeActivationsScalar, LinearInt8Scalar, LinearFloatScalar};
  }
}

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Tokens whose sums one task keeps at a time, in tiles.
constexpr int64_t kTaskTiles = 4;
constexpr int64_t kMaxTaskPanels = 8;
/// Below so many elements, waking threads costs more than quantizing alone.
constexpr int64_t kQuantizeAlone = 1 << 15;

class QuantizedMatrix final : public Matrix {
 public:
  QuantizedMatrix(Format format, int64_t rows, int64_t cols, Activations activations)
      : Matrix(rows, cols), activations_(activations), kernels_(KernelsFor(CurrentIsa())) {
    const QuantTraits traits = TraitsOf(format);
    panels_.format = format;
    panels_.rows = rows;
    panels_.cols = cols;
    panels_.blocks = cols / kBlock;
    panels_.scale_start = panels_.blocks * CodeBytesPerBlock(traits.code_bits);
    panels_.panel_bytes = CeilDiv(panels_.scale_start + ScaleBytes(traits.scales, panels_.blocks), 64) * 64;
    bytes_ = static_cast<size_t>(panels_.NumPanels() * panels_.panel_bytes);
    data_ = AllocateAligned<uint8_t>(bytes_);
    panels_.data = data_.get();
  }

  void Pack(const uint8_t* stored, ThreadPool& pool) {
    const QuantTraits traits = TraitsOf(panels_.format);
    const int64_t row_bytes = cols / traits.stored_block * traits.stored_bytes;
    const int64_t used = panels_.scale_start + ScaleBytes(traits.scales, panels_.blocks);
    pool.ParallelFor(panels_.NumPanels(), [&](int64_t panel, int) {
      uint8_t* codes = data_.get() + panel * panels_.panel_bytes;
      const int64_t first = panel * kPanelRows;
      const int64_t count = rows - first < kPanelRows ? rows - first : kPanelRows;
      // What no row fills, and what pads the panel, is read as zeros.
      const int64_t zeros_from = count == kPanelRows ? used : 0;
      std::memset(codes + zeros_from, 0, static_cast<size_t>(panels_.panel_bytes - zeros_from));
      PackPanel(panels_.format, stored + first * row_bytes, count, cols, codes, codes + panels_.scale_start);
    });
  }

  void Linear(float* y, const float* x, int64_t n, const float* bias, ThreadPool& pool) const override {
    if (n <= 0) return;
    if (activations_ == Activations::kInt8) return LinearInt8(y, x, n, bias, pool);
    const FloatActivations activations{x, n};
    RunTasks(y, n, bias, pool, [&](const QuantTask& task) { kernels_.float32(panels_, activations, task); });
  }

  void ReadRow(int64_t row, float* out) const override { WidenPanelRow(panels_, row, out); }

  size_t Bytes() const override { return bytes_; }

 private:
  void LinearInt8(float* y, const float* x, int64_t n, const float* bias, ThreadPool& pool) const {
    const QuantTraits traits = TraitsOf(panels_.format);
    const QuantizeOptions options{UnsignedBias(traits), PartsOf(traits.scales)};
    const int64_t count = n * panels_.blocks;
    // One allocation: codes and what a whole tile reads behind them, scales, sums, corrections.
    const int64_t code_bytes = CeilDiv(count * kBlock + 512, 64) * 64;
    const AlignedArray<uint8_t> memory =
        AllocateAligned<uint8_t>(static_cast<size_t>(code_bytes + count * 4 * (2 + options.parts) + 64));
    float* scales = reinterpret_cast<float*>(memory.get() + code_bytes);
    std::memset(memory.get() + count * kBlock, 0, static_cast<size_t>(code_bytes - count * kBlock));
    const QuantizedActivations activations{n,
                                           cols,
                                           panels_.blocks,
                                           reinterpret_cast<int8_t*>(memory.get()),
                                           scales,
                                           scales + count,
                                           reinterpret_cast<int32_t*>(scales + 2 * count)};
    if (n * cols <= kQuantizeAlone) {
      kernels_.quantize(activations, x, 0, n, options);
    } else {
      const int64_t tokens = CeilDiv(kQuantizeAlone / 2, cols);
      pool.ParallelFor(CeilDiv(n, tokens), [&](int64_t i, int) {
        kernels_.quantize(activations, x, i * tokens, i * tokens + tokens < n ? i * tokens + tokens : n, options);
      });
    }
    RunTasks(y, n, bias, pool, [&](const QuantTask& task) { kernels_.int8(panels_, activations, task); });
  }

  /// Panels first: a task reads its weights once from memory and its tokens from cache. Tokens are split too where
  /// panels are too few for the threads.
  template <typename Run>
  void RunTasks(float* y, int64_t n, const float* bias, ThreadPool& pool, const Run& run) const {
    const int64_t num_panels = panels_.NumPanels();
    const int64_t num_tiles = CeilDiv(n, kTileTokens);
    const int64_t wanted = 4 * static_cast<int64_t>(pool.num_threads());
    int64_t panels = num_panels / wanted;
    panels = panels < 1 ? 1 : panels > kMaxTaskPanels ? kMaxTaskPanels : panels;
    const int64_t groups = CeilDiv(num_panels, panels);
    const int64_t tiles = groups >= wanted ? num_tiles : kTaskTiles;
    pool.ParallelFor(groups * CeilDiv(num_tiles, tiles), [&](int64_t i, int) {
      QuantTask task{};
      task.panel_begin = i % groups * panels;
      task.panel_end = task.panel_begin + panels < num_panels ? task.panel_begin + panels : num_panels;
      task.tile_begin = i / groups * tiles;
      task.tile_end = task.tile_begin + tiles < num_tiles ? task.tile_begin + tiles : num_tiles;
      task.y = y;
      task.bias = bias;
      run(task);
    });
  }

  const Activations activations_;
  const QuantKernels kernels_;
  QuantPanels panels_{};
  size_t bytes_ = 0;
  AlignedArray<uint8_t> data_;
};

}  // namespace

std::unique_ptr<Matrix> MakeQuantizedMatrix(Format format, int64_t rows, int64_t cols, const uint8_t* bytes,
                                            Activations activations, ThreadPool& pool) {
  const QuantTraits traits = TraitsOf(format);
  if (traits.stored_block == 0 || rows < 0 || cols <= 0 || cols % traits.stored_block != 0) return nullptr;
  auto matrix = std::make_unique<QuantizedMatrix>(format, rows, cols, activations);
  matrix->Pack(bytes, pool);
  return matrix;
}

}  // namespace octavo
