// Weights of several planes: codes of a few bits, scales of groups of columns, maybe zero points and an order of groups.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "matrix.h"

namespace octavo {

/// w[r][k] = (values[code] - zero) * scale of the column's group; without zeros values[code] * scale.
struct GroupedWeight {
  int64_t rows, cols;
  int64_t bits;                  // of a code, 1 to 8
  int64_t group_size;            // neighbouring columns that share a scale
  std::vector<float> values;     // [2^bits]
  std::vector<uint8_t> codes;    // [rows][words of 4 bytes]: a row is one stream of bits, lowest first
  std::vector<float> scales;     // [rows][groups]
  std::vector<uint8_t> zeros;    // [rows][groups], or none
  std::vector<int32_t> order;    // [cols]: each column's group, or none

  int64_t NumGroups() const { return (cols + group_size - 1) / group_size; }
  /// Bytes of a row's codes.
  int64_t CodeStride() const { return (cols * bits + 31) / 32 * 4; }
};

/// Products widen a block of columns of a panel at a time and multiply it as float32.
std::unique_ptr<Matrix> MakeGroupedMatrix(GroupedWeight weight);

}  // namespace octavo
