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
//     4 bits: 4 vectors, vector g % 4, low nibble for g < 4, high nibble for g >= 4
//     5 bits: the 4-bit vectors, then one vector whose bit g is the fifth bit of group g
//     6 bits: the 4-bit vectors, then two vectors; vector g / 4 holds the upper two bits at bit 2 * (g % 4)
//
// All blocks' codes of a panel come first, then its scales (see ScaleKind). Rows behind the last are zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../matrix.h"
#include "quantize_activations.h"

namespace octavo {

constexpr int64_t kPanelRows = 16;
constexpr int64_t kBlock = 32;
/// K-quants share one pair of float16 scales among so many blocks.
constexpr int64_t kSuperBlocks = 8;
/// Float activations: blocks whose products are summed before they join the total.
constexpr int64_t kChunkBlocks = 8;

enum class ScaleKind {
  kBlockScale,     // per block: d[16] float16                                     w = code * d
  kBlockScaleMin,  // per block: d[16], m[16] float16                              w = code * d + m
  kSuperScaleMin,  // per 8 blocks: d[16], m[16] float16, 8 x (s[16], n[16] uint8) w = code * (d * s) - m * n
  kSuperHalves,    // per 8 blocks: d[16] float16, 8 x (s[2 halves of 16 k][16] int8)  w = code * (d * s)
};

// Every function in this header has internal linkage or is always inlined: files compiled for different instruction
// sets include it, and a shared copy might use one that the CPU lacks.

/// A stored format. `offset` is what a code as packed exceeds its value by (0 for the signed codes of Q8_0).
struct QuantTraits {
  Format format;
  int code_bits;
  int offset;
  ScaleKind scales;
  int64_t stored_block = 0;  // elements
  int64_t stored_bytes = 0;  // per stored block
};

static constexpr QuantTraits kQuantTraits[] = {
    {Format::kQ8_0, 8, 0, ScaleKind::kBlockScale},    {Format::kQ4_0, 4, 8, ScaleKind::kBlockScale},
    {Format::kQ4_1, 4, 0, ScaleKind::kBlockScaleMin}, {Format::kQ5_0, 5, 16, ScaleKind::kBlockScale},
    {Format::kQ5_1, 5, 0, ScaleKind::kBlockScaleMin}, {Format::kQ4_K, 4, 0, ScaleKind::kSuperScaleMin},
    {Format::kQ5_K, 5, 0, ScaleKind::kSuperScaleMin}, {Format::kQ6_K, 6, 32, ScaleKind::kSuperHalves},
};

static constexpr QuantTraits TraitsOf(Format format) {
  for (const QuantTraits& traits : kQuantTraits) {
    if (traits.format != format) continue;
    QuantTraits all = traits;
    all.stored_block = LayoutOf(format).block_elements;
    all.stored_bytes = LayoutOf(format).block_bytes;
    return all;
  }
  return {format, 0, 0, ScaleKind::kBlockScale};
}

static constexpr int64_t CodeBytesPerBlock(int code_bits) {
  return 64 * code_bits;
}
static constexpr bool HasMin(ScaleKind scales) {
  return scales == ScaleKind::kBlockScaleMin || scales == ScaleKind::kSuperScaleMin;
}
/// Integer sums per block: a scale may cover only half of it.
static constexpr int PartsOf(ScaleKind scales) {
  return scales == ScaleKind::kSuperHalves ? 2 : 1;
}
/// What turns a packed code into the unsigned byte that `u8 x s8` instructions need, seen as an excess over the code's
/// value.
static constexpr int UnsignedBias(const QuantTraits& traits) {
  return traits.code_bits == 8 ? 128 : traits.offset;
}

static constexpr int64_t ScaleBytes(ScaleKind scales, int64_t blocks) {
  switch (scales) {
    case ScaleKind::kBlockScale:
      return blocks * 32;
    case ScaleKind::kBlockScaleMin:
      return blocks * 64;
    case ScaleKind::kSuperScaleMin:
      return blocks / kSuperBlocks * 320;
    case ScaleKind::kSuperHalves:
      return blocks / kSuperBlocks * 288;
  }
  return 0;
}

/// Where the scales of block `b` begin (the block's own part of them).
static constexpr int64_t BlockScaleOffset(ScaleKind scales, int64_t b) {
  switch (scales) {
    case ScaleKind::kBlockScale:
      return b * 32;
    case ScaleKind::kBlockScaleMin:
      return b * 64;
    case ScaleKind::kSuperScaleMin:
      return b / kSuperBlocks * 320 + 64 + b % kSuperBlocks * 32;
    case ScaleKind::kSuperHalves:
      return b / kSuperBlocks * 288 + 32 + b % kSuperBlocks * 32;
  }
  return 0;
}

/// Where the float16 scales that block `b` shares begin.
static constexpr int64_t SuperScaleOffset(ScaleKind scales, int64_t b) {
  return b / kSuperBlocks * (scales == ScaleKind::kSuperScaleMin ? 320 : 288);
}

/// A view of a packed weight.
struct QuantPanels {
  Format format;
  int64_t rows;
  int64_t cols;
  int64_t blocks;       // cols / 32
  int64_t scale_start;  // bytes from a panel's start to its scales
  int64_t panel_bytes;  // a multiple of 64
  const uint8_t* data;  // 64-byte aligned

  [[gnu::always_inline]] int64_t NumPanels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  [[gnu::always_inline]] const uint8_t* Codes(int64_t panel) const { return data + panel * panel_bytes; }
  [[gnu::always_inline]] const uint8_t* Scales(int64_t panel) const { return data + panel * panel_bytes + scale_start; }
};

/// Calls run(c) with the format as the constant `decltype(c)::value`.
template <typename Run>
[[gnu::always_inline]] static inline void WithFormat(Format format, const Run& run) {
  switch (format) {
    case Format::kQ8_0:
      return run(std::integral_constant<Format, Format::kQ8_0>{});
    case Format::kQ4_0:
      return run(std::integral_constant<Format, Format::kQ4_0>{});
    case Format::kQ4_1:
      return run(std::integral_constant<Format, Format::kQ4_1>{});
    case Format::kQ5_0:
      return run(std::integral_constant<Format, Format::kQ5_0>{});
    case Format::kQ5_1:
      return run(std::integral_constant<Format, Format::kQ5_1>{});
    case Format::kQ4_K:
      return run(std::integral_constant<Format, Format::kQ4_K>{});
    case Format::kQ5_K:
      return run(std::integral_constant<Format, Format::kQ5_K>{});
    case Format::kQ6_K:
      return run(std::integral_constant<Format, Format::kQ6_K>{});
    default:
      return;
  }
}

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
  void (*quantize)(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end, QuantizeOptions options);
  /// Integer activations, per output element, blocks ascending, each step one fused multiply-add:
  ///
  ///     acc = fma(float(sum of x * code over the block, exact), x_scale * w_scale, acc)   once per half where halves have scales
  ///     acc = fma(x_scaled_sum, w_min, acc)                                               formats with a minimum
  ///
  /// so that every instruction set gives the same bits.
  void (*int8)(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task);
  /// Float activations, per output element and chunk of 256 k: four sums over k % 4 = 0..3 in ascending order, then
  /// total += (s0 + s1) + (s2 + s3), chunks ascending.
  void (*float32)(const QuantPanels& w, const FloatActivations& x, const QuantTask& task);
};

}  // namespace octavo
