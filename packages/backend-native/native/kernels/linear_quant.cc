#include "linear_quant.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "dequantize.h"
#include "kernel_table.h"
#include "linear_quant_output.h"

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
  const size_t bytes = (count * sizeof(T) + kAlignment) / kAlignment * kAlignment;
  const bool is_huge = bytes >= kHugePage;
  void* memory = nullptr;
  if (posix_memalign(&memory, is_huge ? kHugePage : kAlignment, bytes) != 0) throw std::bad_alloc();
#if defined(__linux__)
  // Fewer TLB misses while a weight streams past; only a hint. The last page stays a small one: half empty, a huge one
  // would waste memory.
  if (is_huge) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return AlignedArray<T>(static_cast<T*>(memory));
}

/// Tokens whose sums one task keeps at a time, in tiles.
constexpr int64_t kTaskTiles = 4;
/// Up to so many tokens, a gated product is bound by memory alone.
constexpr int64_t kStreamedTokens = 2;
/// Up to so many tokens, vectors alone keep up with the memory.
constexpr int64_t kPairTokens = 8;
/// Below so many elements, waking threads costs more than quantizing alone.
constexpr int64_t kQuantizeAlone = 1 << 15;

class QuantizedMatrix final : public Matrix {
 public:
  QuantizedMatrix(Format format, int64_t rows, int64_t cols, Activations activations)
      : Matrix(rows, cols), activations_(activations), kernels_(Kernels().quant), wide_kernels_(Kernels().wide) {
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

  /// False where rows could not be read.
  bool Pack(const StoredRows& stored, ThreadPool& pool) {
    const PackKernels& kernels = Kernels().pack;
    const int64_t used = panels_.scale_start + ScaleBytes(TraitsOf(panels_.format).scales, panels_.blocks);
    return PackPanels(stored, kPanelRows, pool, [&](int64_t panel, const uint8_t* const* panel_rows) {
      uint8_t* codes = data_.get() + panel * panels_.panel_bytes;
      kernels.quant(panels_.format, panel_rows, cols, codes, codes + panels_.scale_start);
      std::memset(codes + used, 0, static_cast<size_t>(panels_.panel_bytes - used));
    });
  }

  /// After Pack, for wide activations.
  void FindUnits(ThreadPool& pool) {
    units_.resize(static_cast<size_t>(2 * panels_.NumPanels() * kPanelRows));
    pool.ParallelFor(panels_.NumPanels(), [&](int64_t panel, int) {
      float* units = units_.data() + panel * kPanelRows;
      wide_kernels_.units(panels_, panel, units, units + panels_.NumPanels() * kPanelRows);
    });
  }

  void LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                   ThreadPool& pool) const override {
    Multiply(PartsOutput(parts, num_parts, panels_, input.bias), input, pool);
  }

  void GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const override {
    if (input.n <= kStreamedTokens) return GatedStream(y, kind, input, pool);
    Multiply(GatedOutput(y, kind, panels_, input, pool), input, pool);
  }

  int64_t PanelRows() const override { return kPanelRows; }

  void ReadRow(int64_t row, float* out) const override { WidenPanelRow(panels_, row, out); }

  size_t Bytes() const override { return bytes_; }

 private:
  /// Walks the weight as Linear does: to and fro between gate and up projection, memory would give 3 % less.
  void GatedStream(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const {
    const int64_t features = rows / 2;
    const ScratchPool::Block up(pool.scratch(), static_cast<size_t>(input.n * features) * sizeof(float));
    const LinearPart parts[] = {{y, features}, {up.As<float>(), features}};
    LinearParts(parts, 2, input, pool);
    GateRows(kind).Run(y, features, GateInput{y, up.As<float>(), features}, input.n, features);
  }

  template <typename Output>
  void Multiply(const Output& output, const LinearInput& input, ThreadPool& pool) const {
    const auto [x, n, bias] = input;
    if (n <= 0) return;
    if (activations_ == Activations::kInt8) return MultiplyInt8(output, x, n, pool);
    if (activations_ == Activations::kInt8Wide) return MultiplyWide(output, x, n, pool);
    const FloatActivations activations{x, n};
    RunTasks(output, n, pool, [&](const QuantTask& task) { kernels_.float32(panels_, activations, task); });
  }

  template <typename Output>
  void MultiplyInt8(const Output& output, const float* x, int64_t n, ThreadPool& pool) const {
    const QuantTraits traits = TraitsOf(panels_.format);
    const QuantizeOptions options{UnsignedBias(traits), PartsOf(traits.scales)};
    const int64_t count = n * panels_.blocks;
    // One allocation: codes and what a whole tile reads behind them, scales, sums, corrections.
    const int64_t code_bytes = CeilDiv(count * kBlock + 512, 64) * 64;
    const ScratchPool::Block memory(pool.scratch(),
                                    static_cast<size_t>(code_bytes + count * 4 * (2 + options.parts) + 64));
    int8_t* codes = memory.As<int8_t>();
    float* scales = reinterpret_cast<float*>(codes + code_bytes);
    std::memset(codes + count * kBlock, 0, static_cast<size_t>(code_bytes - count * kBlock));
    const QuantizedActivations activations{n,
                                           cols,
                                           panels_.blocks,
                                           codes,
                                           scales,
                                           scales + count,
                                           reinterpret_cast<int32_t*>(scales + 2 * count)};
    QuantizeTokens(n, pool, [&](int64_t begin, int64_t end) { kernels_.quantize(activations, x, begin, end, options); });
    RunTasks(output, n, pool, [&](const QuantTask& task) { kernels_.int8(panels_, activations, task); });
  }

  template <typename Output>
  void MultiplyWide(const Output& output, const float* x, int64_t n, ThreadPool& pool) const {
    WideActivations activations{};
    activations.n = n;
    activations.cols = cols;
    activations.chunks = CeilDiv(cols, kWideCols);
    activations.is_tiled = wide_kernels_.tiles != nullptr && n > kPairTokens;
    const int64_t code_bytes = activations.is_tiled
                                   ? activations.NumTiles() * activations.Steps() * kTileTokens * kStepCols
                                   : CeilDiv(n * cols * 2, 64) * 64;
    const int64_t scale_bytes = activations.chunks * activations.NumTiles() * kTileTokens * 4;
    const ScratchPool::Block memory(pool.scratch(), static_cast<size_t>(code_bytes + scale_bytes));
    activations.tiles = memory.As<int8_t>();
    activations.pairs = memory.As<int16_t>();
    activations.scales = reinterpret_cast<float*>(memory.As<uint8_t>() + code_bytes);
    QuantizeTokens(n, pool, [&](int64_t begin, int64_t end) { wide_kernels_.quantize(activations, x, begin, end); });
    const WidePanels wide{panels_, units_.data(), units_.data() + panels_.NumPanels() * kPanelRows};
    const auto kernel = activations.is_tiled ? wide_kernels_.tiles : wide_kernels_.pairs;
    RunTasks(output, n, pool, [&](const QuantTask& task) { kernel(wide, activations, task); });
  }

  template <typename Quantize>
  void QuantizeTokens(int64_t n, ThreadPool& pool, const Quantize& quantize) const {
    if (n * cols <= kQuantizeAlone) return quantize(0, n);
    const int64_t tokens = CeilDiv(kQuantizeAlone / 2, cols);
    pool.ParallelFor(CeilDiv(n, tokens), [&](int64_t i, int) {
      quantize(i * tokens, i * tokens + tokens < n ? i * tokens + tokens : n);
    });
  }

  /// For one tile of tokens the weights stream from memory: every thread walks a stretch of its own, which the
  /// hardware's prefetching follows, and then helps in the others'.
  template <typename Output, typename Run>
  void RunStreams(const Output& output, ThreadPool& pool, const Run& run) const {
    struct alignas(64) Cursor {
      std::atomic<int64_t> taken{0};
    };
    const int64_t num_units = output.NumUnits();
    const int64_t stretches = pool.num_threads() < num_units ? pool.num_threads() : num_units;
    const std::unique_ptr<Cursor[]> cursors(new Cursor[static_cast<size_t>(stretches)]);
    pool.ParallelFor(stretches, [&](int64_t own, int thread) {
      for (int64_t i = 0; i < stretches; i++) {
        const int64_t stretch = (own + i) % stretches;
        const int64_t begin = num_units * stretch / stretches;
        const int64_t end = num_units * (stretch + 1) / stretches;
        for (;;) {
          const int64_t first = begin + cursors[static_cast<size_t>(stretch)].taken.fetch_add(kStreamUnits);
          if (first >= end) break;
          QuantTask task{};
          task.panel_begin = first;
          task.panel_end = first + kStreamUnits < end ? first + kStreamUnits : end;
          task.tile_end = 1;
          output.RunTask(task, thread, run);
        }
      }
    });
  }

  /// Panels first: a task reads its weights once from memory and its tokens from cache. Tokens are split too where
  /// panels are too few for the threads.
  template <typename Output, typename Run>
  void RunTasks(const Output& output, int64_t n, ThreadPool& pool, const Run& run) const {
    const int64_t num_tiles = CeilDiv(n, kTileTokens);
    if (num_tiles == 1) return RunStreams(output, pool, run);
    constexpr int64_t kMaxUnits = kMaxTaskPanels / Output::kPanelsPerUnit;
    const int64_t num_units = output.NumUnits();
    const int64_t wanted = 4 * static_cast<int64_t>(pool.num_threads());
    int64_t units = num_units / wanted;
    units = units < 1 ? 1 : units > kMaxUnits ? kMaxUnits : units;
    const int64_t groups = CeilDiv(num_units, units);
    const int64_t tiles = groups >= wanted ? num_tiles : kTaskTiles;
    pool.ParallelFor(groups * CeilDiv(num_tiles, tiles), [&](int64_t i, int thread) {
      QuantTask task{};
      task.panel_begin = i % groups * units;
      task.panel_end = task.panel_begin + units < num_units ? task.panel_begin + units : num_units;
      task.tile_begin = i / groups * tiles;
      task.tile_end = task.tile_begin + tiles < num_tiles ? task.tile_begin + tiles : num_tiles;
      output.RunTask(task, thread, run);
    });
  }

  const Activations activations_;
  const QuantKernels& kernels_;
  const WideKernels& wide_kernels_;
  QuantPanels panels_{};
  std::vector<float> units_;  // of the rows, then their inverses
  size_t bytes_ = 0;
  AlignedArray<uint8_t> data_;
};

}  // namespace

std::unique_ptr<Matrix> MakeQuantizedMatrix(Format format, int64_t cols, const StoredRows& stored,
                                            Activations activations, ThreadPool& pool) {
  const QuantTraits traits = TraitsOf(format);
  if (traits.stored_block == 0 || cols <= 0 || cols % traits.stored_block != 0) return nullptr;
  auto matrix = std::make_unique<QuantizedMatrix>(format, stored.rows(), cols, activations);
  if (!matrix->Pack(stored, pool)) return nullptr;
  if (activations == Activations::kInt8Wide) matrix->FindUnits(pool);
  return matrix;
}

}  // namespace octavo
