// act(gate) * up of columns that a product has just left in a scratch.
#pragma once

#include <cstdint>

#include "kernel_table.h"

namespace octavo {

/// Rows of gate and up lie equally far apart.
struct GateInput {
  const float* gate;
  const float* up;
  int64_t stride;
};

/// The arithmetic of GatedActivation: an element's result depends on that element alone.
class GateRows {
 public:
  explicit GateRows(GatedKind kind) : kernel_(Kernels().gated_activation), kind_(kind) {}

  /// out [n][count], rows out_stride apart.
  void Run(float* out, int64_t out_stride, const GateInput& in, int64_t n, int64_t count) const {
    for (int64_t i = 0; i < n; i++)
      kernel_(out + i * out_stride, in.gate + i * in.stride, in.up + i * in.stride, kind_, count);
  }

 private:
  void (*const kernel_)(float* out, const float* gate, const float* up, GatedKind kind, int64_t count);
  const GatedKind kind_;
};

}  // namespace octavo
