#include "linear_quant.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <optional>

#include "dequantize.h"
#include "linear_quant_output.h"
#include "quantized_matrix.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{1} << 21;

/// Uninitialised. Throws std::bad_alloc.
uint8_t* AllocateAligned(size_t count) {
  const size_t bytes = (count + kAlignment) / kAlignment * kAlignment;
  const bool is_huge = bytes >= kHugePage;
  void* memory = nullptr;
  if (posix_memalign(&memory, is_huge ? kHugePage : kAlignment, bytes) != 0) throw std::bad_alloc();
#if defined(__linux__)
  // Fewer TLB misses while a weight streams past; only a hint. The last page stays a small one: half empty, a huge one
  // would waste memory.
  if (is_huge) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return static_cast<uint8_t*>(memory);
}

/// Tokens whose sums one task keeps at a time, in tiles.
constexpr int64_t kTaskTiles = 4;
/// Up to so many tokens, a gated product is bound by memory alone.
constexpr int64_t kStreamedTokens = 2;
/// Up to so many tokens, vectors alone keep up with the memory.
constexpr int64_t kPairTokens = 8;
/// Below so many elements, waking threads costs more than quantizing alone.
constexpr int64_t kQuantizeAlone = 1 << 15;
/// Bringing an element into order takes so many times as long as quantizing it.
constexpr int64_t kOrderCost = 2;

}  // namespace

QuantizedMatrix::QuantizedMatrix(int64_t rows, int64_t cols, Activations activations)
    : Matrix(rows, cols), activations_(activations), kernels_(Kernels().quant), wide_kernels_(Kernels().wide) {}

void QuantizedMatrix::Allocate(PanelKind kind, int64_t packed_cols, int64_t scale_bytes) {
  panels_.kind = kind;
  panels_.rows = rows;
  panels_.cols = packed_cols;
  panels_.blocks = packed_cols / kBlock;
  panels_.scale_start = panels_.blocks * CodeBytesPerBlock(TraitsOf(kind).code_bits);
  panels_.panel_bytes = CeilDiv(panels_.scale_start + scale_bytes, 64) * 64;
  bytes_ = static_cast<size_t>(panels_.NumPanels() * panels_.panel_bytes);
  data_.reset(AllocateAligned(bytes_));
  panels_.data = data_.get();
}

void QuantizedMatrix::PadPanel(int64_t panel, int64_t used) {
  std::memset(Panel(panel) + used, 0, static_cast<size_t>(panels_.panel_bytes - used));
}

void QuantizedMatrix::FindUnits(ThreadPool& pool) {
  if (activations_ != Activations::kInt8Wide) return;
  units_.resize(static_cast<size_t>(2 * panels_.NumPanels() * kPanelRows));
  pool.ParallelFor(panels_.NumPanels(), [&](int64_t panel, int) {
    float* units = units_.data() + panel * kPanelRows;
    wide_kernels_.units(panels_, panel, units, units + panels_.NumPanels() * kPanelRows);
  });
}

void QuantizedMatrix::LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                                  ThreadPool& pool) const {
  Multiply(PartsOutput(parts, num_parts, panels_, input.bias), input, pool);
}

void QuantizedMatrix::GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const {
  if (input.n <= kStreamedTokens) return GatedStream(y, kind, input, pool);
  Multiply(GatedOutput(y, kind, panels_, input, pool), input, pool);
}

void QuantizedMatrix::ReadRow(int64_t row, float* out) const {
  if (columns_.empty()) return WidenPanelRow(panels_, row, out);
  std::vector<float> packed(static_cast<size_t>(panels_.cols));
  WidenPanelRow(panels_, row, packed.data());
  size_t filler = 0;
  for (size_t i = 0; i < columns_.size(); i++) {
    if (filler < fillers_.size() && fillers_[filler] == i) {
      filler++;
    } else {
      out[columns_[i]] = packed[i];
    }
  }
}

/// Walks the weight as Linear does: to and fro between gate and up projection, memory would give 3 % less.
void QuantizedMatrix::GatedStream(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const {
  const int64_t features = rows / 2;
  const ScratchPool::Block up(pool.scratch(), static_cast<size_t>(input.n * features) * sizeof(float));
  const LinearPart parts[] = {{y, features}, {up.As<float>(), features}};
  LinearParts(parts, 2, input, pool);
  GateRows(kind).Run(y, features, GateInput{y, up.As<float>(), features}, input.n, features);
}

template <typename Output>
void QuantizedMatrix::Multiply(const Output& output, const LinearInput& input, ThreadPool& pool) const {
  if (input.n <= 0) return;
  if (activations_ == Activations::kInt8) return MultiplyInt8(output, input, pool);
  if (activations_ == Activations::kInt8Wide) return MultiplyWide(output, input, pool);
  MultiplyFloat(output, input, pool);
}

void QuantizedMatrix::Order(const float* row, float* out) const {
  const uint32_t* const columns = columns_.data();
  for (int64_t begin = 0; begin < panels_.cols; begin += 16) {
    // Of the next token: lines that are met in no order are foreseen by no hardware.
    __builtin_prefetch(row + cols + begin);
    // One column at a time takes twice as long.
#pragma GCC unroll 16
    for (int64_t k = begin; k < begin + 16; k++) out[k] = row[columns[k]];
  }
  for (const uint32_t k : fillers_) out[k] = 0.0f;
}

template <typename Output>
void QuantizedMatrix::MultiplyFloat(const Output& output, const LinearInput& input, ThreadPool& pool) const {
  const int64_t n = input.n;
  std::optional<ScratchPool::Block> ordered;
  if (!columns_.empty()) {
    ordered.emplace(pool.scratch(), static_cast<size_t>(n * panels_.cols) * sizeof(float));
    float* const out = ordered->As<float>();
    ForTokens(n, pool, [&](int64_t begin, int64_t end, int) {
      for (int64_t token = begin; token < end; token++) Order(input.x + token * cols, out + token * panels_.cols);
    });
  }
  const FloatActivations activations{ordered ? ordered->As<float>() : input.x, n};
  RunTasks(output, n, pool, [&](const QuantTask& task) { kernels_.float32(panels_, activations, task); });
}

template <typename Output>
void QuantizedMatrix::MultiplyInt8(const Output& output, const LinearInput& input, ThreadPool& pool) const {
  const int64_t n = input.n;
  const PanelTraits traits = TraitsOf(panels_.kind);
  const int zero_bias = traits.code_bits < 8 ? kernels_.zero_bias : 1;
  const QuantizeOptions options{HasZeros(traits.scales) ? zero_bias : UnsignedBias(traits), PartsOf(traits.scales)};
  const int64_t count = n * panels_.blocks;
  // One allocation: codes and what a whole tile reads behind them, scales, sums, corrections.
  const int64_t code_bytes = CeilDiv(count * kBlock + 512, 64) * 64;
  const ScratchPool::Block memory(pool.scratch(),
                                  static_cast<size_t>(code_bytes + count * 4 * (2 + options.parts) + 64));
  int8_t* codes = memory.As<int8_t>();
  float* scales = reinterpret_cast<float*>(codes + code_bytes);
  std::memset(codes + count * kBlock, 0, static_cast<size_t>(code_bytes - count * kBlock));
  const QuantizedActivations activations{n,
                                         panels_.cols,
                                         panels_.blocks,
                                         codes,
                                         scales,
                                         scales + count,
                                         reinterpret_cast<int32_t*>(scales + 2 * count)};
  QuantizeTokens(input, pool, [&](const float* x, int64_t begin, int64_t end) {
    kernels_.quantize(activations, x, begin, end, options);
  });
  RunTasks(output, n, pool, [&](const QuantTask& task) { kernels_.int8(panels_, activations, task); });
}

template <typename Output>
void QuantizedMatrix::MultiplyWide(const Output& output, const LinearInput& input, ThreadPool& pool) const {
  const int64_t n = input.n;
  WideActivations activations{};
  activations.n = n;
  activations.cols = panels_.cols;
  activations.chunks = CeilDiv(panels_.cols, kWideCols);
  activations.is_tiled = wide_kernels_.tiles != nullptr && n > kPairTokens;
  const int64_t code_bytes = activations.is_tiled
                                 ? activations.NumTiles() * activations.Steps() * kTileTokens * kStepCols
                                 : CeilDiv(n * panels_.cols * 2, 64) * 64;
  const int64_t scale_bytes = activations.chunks * activations.NumTiles() * kTileTokens * 4;
  const ScratchPool::Block memory(pool.scratch(), static_cast<size_t>(code_bytes + scale_bytes));
  activations.tiles = memory.As<int8_t>();
  activations.pairs = memory.As<int16_t>();
  activations.scales = reinterpret_cast<float*>(memory.As<uint8_t>() + code_bytes);
  QuantizeTokens(input, pool, [&](const float* x, int64_t begin, int64_t end) {
    wide_kernels_.quantize(activations, x, begin, end);
  });
  const WidePanels wide{panels_, units_.data(), units_.data() + panels_.NumPanels() * kPanelRows};
  const auto kernel = activations.is_tiled ? wide_kernels_.tiles : wide_kernels_.pairs;
  RunTasks(output, n, pool, [&](const QuantTask& task) { kernel(wide, activations, task); });
}

template <typename Quantize>
void QuantizedMatrix::QuantizeTokens(const LinearInput& input, ThreadPool& pool, const Quantize& quantize) const {
  if (columns_.empty()) {
    return ForTokens(input.n, pool,
                     [&](int64_t begin, int64_t end, int) { quantize(input.x + begin * cols, begin, end); });
  }
  // A row of each thread's own, which stays in its cache.
  const int64_t stride = CeilDiv(panels_.cols, kPanelRows) * kPanelRows;
  const ScratchPool::Block ordered(pool.scratch(), static_cast<size_t>(pool.num_threads() * stride) * sizeof(float));
  ForTokens(input.n, pool, [&](int64_t begin, int64_t end, int thread) {
    float* const row = ordered.As<float>() + thread * stride;
    for (int64_t token = begin; token < end; token++) {
      Order(input.x + token * cols, row);
      quantize(row, token, token + 1);
    }
  });
}

template <typename Run>
void QuantizedMatrix::ForTokens(int64_t n, ThreadPool& pool, const Run& run) const {
  const int64_t cost = columns_.empty() ? 1 : 1 + kOrderCost;
  if (n * cols * cost <= kQuantizeAlone) return run(0, n, 0);
  const int64_t tokens = CeilDiv(kQuantizeAlone / 2, cols);
  pool.ParallelFor(CeilDiv(n, tokens), [&](int64_t i, int thread) {
    run(i * tokens, i * tokens + tokens < n ? i * tokens + tokens : n, thread);
  });
}

/// For one tile of tokens the weights stream from memory: every thread walks a stretch of its own, which the
/// hardware's prefetching follows, and then helps in the others'.
template <typename Output, typename Run>
void QuantizedMatrix::RunStreams(const Output& output, ThreadPool& pool, const Run& run) const {
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
void QuantizedMatrix::RunTasks(const Output& output, int64_t n, ThreadPool& pool, const Run& run) const {
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

namespace {

/// Rows of stored blocks.
class BlockMatrix final : public QuantizedMatrix {
 public:
  BlockMatrix(PanelKind kind, int64_t rows, int64_t cols, Activations activations) : QuantizedMatrix(rows, cols, activations) {
    Allocate(kind, cols, ScaleBytes(TraitsOf(kind).scales, cols / kBlock));
  }

  /// False where rows could not be read.
  bool Pack(const StoredRows& stored, ThreadPool& pool) {
    const PackKernels& kernels = Kernels().pack;
    const int64_t used = panels_.scale_start + ScaleBytes(TraitsOf(panels_.kind).scales, panels_.blocks);
    return PackPanels(stored, kPanelRows, pool, [&](int64_t panel, const uint8_t* const* panel_rows) {
      kernels.quant(panels_.kind, panel_rows, cols, Panel(panel), Panel(panel) + panels_.scale_start);
      PadPanel(panel, used);
    });
  }
};

/// Null for a format without blocks.
const PanelTraits* TraitsOfStored(Format format) {
  switch (format) {
#define OCTAVO_CASE(kind, bits, offset, scales) \
  case Format::kind:                            \
    return &TraitsOf(PanelKind::kind);
    OCTAVO_BLOCK_KINDS(OCTAVO_CASE)
#undef OCTAVO_CASE
    default:
      return nullptr;
  }
}

}  // namespace

std::unique_ptr<Matrix> MakeQuantizedMatrix(Format format, int64_t cols, const StoredRows& stored,
                                            Activations activations, ThreadPool& pool) {
  const PanelTraits* traits = TraitsOfStored(format);
  if (traits == nullptr || cols <= 0 || cols % traits->stored_block != 0) return nullptr;
  auto matrix = std::make_unique<BlockMatrix>(traits->kind, stored.rows(), cols, activations);
  if (!matrix->Pack(stored, pool)) return nullptr;
  matrix->FindUnits(pool);
  return matrix;
}

}  // namespace octavo
