// Activations of a run of elements, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cstdint>

#include "ops.h"
#include "vec_math.h"

namespace octavo {

template <class V>
struct ActivationKernel {
  using Reg = typename V::Reg;

  static void Run(float* out, const float* x, ActivationKind kind, int64_t count) {
    switch (kind) {
      case ActivationKind::kSilu:
        return Map(out, x, count, [](Reg value) { return Swish<V>(value, V::Set(1.0f)); });
      case ActivationKind::kGelu:
        return Map(out, x, count, [](Reg value) { return Gelu<V>(value); });
      case ActivationKind::kGeluTanh:
        return Map(out, x, count, [](Reg value) { return GeluTanh<V>(value); });
      case ActivationKind::kRelu:
        return Map(out, x, count, [](Reg value) { return V::Max(V::Zero(), value); });
    }
  }

 private:
  template <class Function>
  static void Map(float* out, const float* x, int64_t count, const Function& function) {
    int64_t k = 0;
    for (; k + V::kWidth <= count; k += V::kWidth) V::Store(out + k, function(V::Load(x + k)));
    if (k == count) return;
    const int rest = static_cast<int>(count - k);
    V::StorePart(out + k, function(V::LoadPart(x + k, rest)), rest);
  }
};

}  // namespace octavo
