// Weights of several planes: codes of a few bits, scales of groups of columns, maybe zero points and an order of groups.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "matrix.h"

namespace octavo {

/// w[r][k] = (values[code] - zero) * scale of the column's group; without zeros values[code] * scale.
struct GroupedSpec {
  int64_t cols;
  int64_t bits;                // of a code, 1 to 8
  int64_t group_size;          // neighbouring columns that share a scale
  Format scale_format;         // of single numbers
  bool has_zeros;
  std::vector<float> values;   // [2^bits]
  std::vector<int32_t> order;  // [cols]: each column's group, or none

  int64_t NumGroups() const { return (cols + group_size - 1) / group_size; }
  /// Bytes of a row's codes.
  int64_t CodeStride() const { return (cols * bits + 31) / 32 * 4; }
  int64_t ScaleStride() const { return NumGroups() * LayoutOf(scale_format).block_bytes; }
  int64_t GroupOf(int64_t col) const { return order.empty() ? col / group_size : order[static_cast<size_t>(col)]; }
};

/// The planes in order: codes, scales, and zeros if there are; all have the matrix's rows.
///
///     codes   [rows][words of 4 bytes]: a row is one stream of bits, lowest first
///     scales  [rows][groups] of scale_format
///     zeros   [rows][groups] uint8
///
/// Null where they could not be read.
std::unique_ptr<Matrix> MakeGroupedMatrix(const GroupedSpec& spec, const StoredPlanes& planes, Activations activations,
                                          ThreadPool& pool);

/// In the panels of kernels/linear_quant.h; `is_refused` where these have no kind for such codes or groups.
std::unique_ptr<Matrix> TryMakeGroupedPanels(const GroupedSpec& spec, const StoredPlanes& planes, Activations activations,
                                             ThreadPool& pool, bool* is_refused);
/// Any at all: products widen a block of columns of a panel at a time and multiply it as float32.
std::unique_ptr<Matrix> MakeWidenedMatrix(const GroupedSpec& spec, const StoredPlanes& planes);

}  // namespace octavo
