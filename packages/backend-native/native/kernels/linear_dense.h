// How dense weights are packed, and what an instruction set brings to multiply them.
//
//   W [rows, cols], cut into panels of P rows; the last panel is padded with zero rows.
//   float32, float16:  [panel][k][row of panel]
//   bfloat16:          [panel][k / 2][row of panel][k % 2]   (a 32-bit lane holds one row's pair of neighbours in k)
//
// A vector lane owns one output row, so an output element is a plain sum over k in one lane, and no tile shape can
// change its order. The order: k in blocks of kDenseBlock; within a block from zero upwards in k; the blocks' sums
// added in ascending order; then the bias.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "../matrix.h"

namespace octavo {

/// Even, so that a bfloat16 pair never straddles two blocks. A widened block of 32 rows takes 32 KiB.
constexpr int64_t kDenseBlock = 256;
constexpr int kMaxPanelRows = 32;
constexpr int kMaxTileWidth = 12;
constexpr int kNumDenseFormats = 3;

/// One block of one panel times one tile of `width` activation rows (the kernel's index knows the width).
struct DenseTile {
  const void* weights;  // the panel, from the block's first k
  int64_t ahead;        // prefetches the weights that many bytes further on; 0: they are in the cache already
  const float* x;       // [num_k][width]
  int64_t num_k;
  float* y;             // [width][y_stride], at the panel's first row
  int64_t y_stride;
  int64_t num_rows;     // rows of the panel that exist
  bool is_first;        // y holds nothing yet
  const float* bias;    // added after the last block; null otherwise
};

struct DenseKernels {
  int panel_rows;
  int max_width;
  /// [format][width - 1]
  void (*tile[kNumDenseFormats][kMaxTileWidth])(const DenseTile& tile);
  /// Unpacks `num_k` of a panel to float32: out [num_k][panel_rows]. Null for float32.
  void (*widen[kNumDenseFormats])(float* out, const void* weights, int64_t num_k);
};

/// 16-bit weights on matrix tiles; null where there is no tile unit, for float32, where a weight is infinite or NaN (a part of an activation that is
/// zero would make NaN of it), and where the stored rows could not be read.
std::unique_ptr<Matrix> TryMakeTileMatrix(Format format, int64_t cols, const StoredRows& stored, ThreadPool& pool);

}  // namespace octavo
