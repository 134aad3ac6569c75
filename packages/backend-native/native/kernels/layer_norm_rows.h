// Layer norm of a run of rows, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "row_sum.h"

namespace octavo {

template <class V>
struct LayerNormKernel {
  using Reg = typename V::Reg;

  static void Rows(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon) {
    for (int64_t i = 0; i < n; i++) Row(out + i * d, x + i * d, weight, bias, d, epsilon);
  }

 private:
  static void Row(float* out, const float* x, const float* weight, const float* bias, int64_t d, float epsilon) {
    const float size = static_cast<float>(d);
    const Reg mean = V::Set(RowSum<V>(x, d, [](Reg total, Reg value) { return V::Add(total, value); }) / size);
    // The centred row stands in `out` for the second sum: there the zeros behind its end stay zeros.
    for (int64_t k = 0; k < d; k += V::kWidth) {
      const int count = Count(d - k);
      V::StorePart(out + k, V::Sub(V::LoadPart(x + k, count), mean), count);
    }
    const float squares = RowSum<V>(out, d, [](Reg total, Reg value) { return V::Fma(value, value, total); });
    const Reg factor = V::Set(1.0f / std::sqrt(squares / size + epsilon));
    for (int64_t k = 0; k < d; k += V::kWidth) {
      const int count = Count(d - k);
      const Reg normed = V::Mul(V::LoadPart(out + k, count), factor);
      const Reg shift = bias == nullptr ? V::Zero() : V::LoadPart(bias + k, count);
      V::StorePart(out + k, V::Fma(normed, V::LoadPart(weight + k, count), shift), count);
    }
  }

  static int Count(int64_t rest) { return rest < V::kWidth ? static_cast<int>(rest) : V::kWidth; }
};

}  // namespace octavo
