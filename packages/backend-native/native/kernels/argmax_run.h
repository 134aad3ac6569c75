// Argmax of a run, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cstdint>
#include <limits>

#include "kernel_table.h"

namespace octavo {

template <class V>
struct ArgmaxKernel {
  using Reg = typename V::Reg;
  static constexpr int64_t kBlock = 1024;

  /// Finds the first block that holds the maximum, then the place within it.
  static Largest Run(const float* x, int64_t n) {
    Largest best{-std::numeric_limits<float>::infinity(), 0};
    int64_t best_block = 0;
    for (int64_t start = 0; start < n; start += kBlock) {
      const float top = BlockMax(x + start, n - start < kBlock ? n - start : kBlock);
      if (top > best.value) {
        best.value = top;
        best_block = start;
      }
    }
    for (int64_t k = best_block; k < n && k < best_block + kBlock; k++) {
      if (x[k] == best.value) {
        best.index = k;
        break;
      }
    }
    return best;
  }

 private:
  static float BlockMax(const float* x, int64_t n) {
    const Reg lowest = V::Set(-std::numeric_limits<float>::infinity());
    Reg tops[4] = {lowest, lowest, lowest, lowest};
    int64_t k = 0;
    // Max keeps its second operand where the first is NaN.
    for (; k + 4 * V::kWidth <= n; k += 4 * V::kWidth) {
      for (int v = 0; v < 4; v++) tops[v] = V::Max(V::Load(x + k + v * V::kWidth), tops[v]);
    }
    float top = V::ReduceMax(V::Max(V::Max(tops[0], tops[1]), V::Max(tops[2], tops[3])));
    for (; k < n; k++) top = x[k] > top ? x[k] : top;
    return top;
  }
};

}  // namespace octavo
