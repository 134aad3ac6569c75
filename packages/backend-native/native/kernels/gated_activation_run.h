// act(gate) * up over a run of elements, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cstdint>

#include "ops.h"
#include "vec_math.h"

namespace octavo {

template <class V>
struct GatedActivationKernel {
  using Reg = typename V::Reg;

  static void Run(float* out, const float* gate, const float* up, GatedKind kind, int64_t count) {
    switch (kind) {
      case GatedKind::kSilu:
        return Map(out, gate, up, count, [](Reg g, Reg u) { return V::Mul(Swish<V>(g, V::Set(1.0f)), u); });
      case GatedKind::kGelu:
        return Map(out, gate, up, count, [](Reg g, Reg u) { return V::Mul(Gelu<V>(g), u); });
      case GatedKind::kGeluTanh:
        return Map(out, gate, up, count, [](Reg g, Reg u) { return V::Mul(GeluTanh<V>(g), u); });
      case GatedKind::kSwigluOss:
        return Map(out, gate, up, count, SwigluOss);
    }
  }

 private:
  /// (up + 1) * gate * sigmoid(1.702 * gate) with gate <= 7 and |up| <= 7 (gpt-oss, arXiv:2508.10925).
  static Reg SwigluOss(Reg gate, Reg up) {
    const Reg limit = V::Set(7.0f);
    gate = V::Min(limit, gate);
    up = V::Min(limit, V::Max(V::Set(-7.0f), up));
    return V::Mul(V::Add(up, V::Set(1.0f)), Swish<V>(gate, V::Set(1.702f)));
  }

  template <class Function>
  static void Map(float* out, const float* gate, const float* up, int64_t count, const Function& function) {
    int64_t k = 0;
    for (; k + V::kWidth <= count; k += V::kWidth) V::Store(out + k, function(V::Load(gate + k), V::Load(up + k)));
    if (k == count) return;
    const int rest = static_cast<int>(count - k);
    V::StorePart(out + k, function(V::LoadPart(gate + k, rest), V::LoadPart(up + k, rest)), rest);
  }
};

}  // namespace octavo
