// Stored rows -> the panels that kernels read: sixteen rows at a time, transposed.
#pragma once

#include <cstdint>

#include "linear_quant.h"

namespace octavo {

constexpr int64_t kPackedRows = 16;

/// `rows` are sixteen stored rows. The layouts do not depend on the instruction set.
struct PackKernels {
  /// All of a panel of linear_quant.h but what pads it, of stored blocks.
  void (*quant)(PanelKind kind, const uint8_t* const* rows, int64_t cols, uint8_t* codes, uint8_t* scales);
  /// The codes of a grouped weight, one byte each (8 bits: signed), as a panel keeps them; cols are whole blocks.
  void (*bytes)(int code_bits, const uint8_t* const* rows, int64_t cols, uint8_t* codes);
  /// out[i * stride + 4 * row] = the 32 bits at offset + 4 * i of the row, for i in [0, count).
  void (*words)(const uint8_t* const* rows, int64_t offset, int64_t count, uint8_t* out, int64_t stride);
  /// out[i * stride + 2 * row] = the 16 bits at offset + 2 * i of the row, for i in [0, count).
  void (*halves)(const uint8_t* const* rows, int64_t offset, int64_t count, uint8_t* out, int64_t stride);
};

/// Those of no instruction set in particular, which take what is no whole vector.
extern const PackKernels kPackKernelsScalar;

}  // namespace octavo
