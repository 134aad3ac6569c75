// RMS norm of a run of rows, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "row_sum.h"

namespace octavo {

template <class V>
struct RmsNormKernel {
  using Reg = typename V::Reg;

  static void Rows(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon) {
    for (int64_t i = 0; i < n; i++) {
      const float* row = x + i * d;
      if (residual != nullptr) {
        AddRow(sum + i * d, row, residual + i * d, d);
        row = sum + i * d;
      }
      const float squares = RowSum<V>(row, d, [](Reg total, Reg value) { return V::Fma(value, value, total); });
      const float mean = squares / static_cast<float>(d);
      ScaleRow(out + i * d, row, weight, d, 1.0f / std::sqrt(mean + epsilon));
    }
  }

 private:
  static void AddRow(float* sum, const float* x, const float* residual, int64_t d) {
    int64_t k = 0;
    for (; k + V::kWidth <= d; k += V::kWidth) V::Store(sum + k, V::Add(V::Load(x + k), V::Load(residual + k)));
    if (k == d) return;
    const int rest = static_cast<int>(d - k);
    V::StorePart(sum + k, V::Add(V::LoadPart(x + k, rest), V::LoadPart(residual + k, rest)), rest);
  }

  static void ScaleRow(float* out, const float* x, const float* weight, int64_t d, float factor) {
    const Reg factors = V::Set(factor);
    int64_t k = 0;
    for (; k + V::kWidth <= d; k += V::kWidth) V::Store(out + k, V::Mul(V::Mul(V::Load(x + k), factors), V::Load(weight + k)));
    if (k == d) return;
    const int rest = static_cast<int>(d - k);
    V::StorePart(out + k, V::Mul(V::Mul(V::LoadPart(x + k, rest), factors), V::LoadPart(weight + k, rest)), rest);
  }
};

}  // namespace octavo
