// Rotary embedding of a run of rows, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops.h"

namespace octavo {

template <class V>
struct RotaryKernel {
  using Reg = typename V::Reg;

  static void Rows(const RotaryArgs& args, int64_t begin, int64_t end) {
    const int64_t half = args.rotary_dim / 2;
    const int64_t untouched = args.head_dim - args.rotary_dim;
    for (int64_t i = begin; i < end; i++) {
      const float* cos = args.table + args.positions[i] * args.rotary_dim;
      for (int64_t at = i * args.width; at < (i + 1) * args.width; at += args.head_dim) {
        RotateHead(args.out + at, args.x + at, cos, cos + half, half);
        if (untouched > 0 && args.out != args.x) {
          std::memcpy(args.out + at + args.rotary_dim, args.x + at + args.rotary_dim, static_cast<size_t>(untouched) * sizeof(float));
        }
      }
    }
  }

 private:
  static void RotateHead(float* out, const float* x, const float* cos, const float* sin, int64_t half) {
    for (int64_t k = 0; k < half; k += V::kWidth) {
      const int count = half - k < V::kWidth ? static_cast<int>(half - k) : V::kWidth;
      const Reg c = V::LoadPart(cos + k, count);
      const Reg s = V::LoadPart(sin + k, count);
      const Reg first = V::LoadPart(x + k, count);
      const Reg second = V::LoadPart(x + half + k, count);
      V::StorePart(out + k, V::Fnma(second, s, V::Mul(first, c)), count);
      V::StorePart(out + half + k, V::Fma(first, s, V::Mul(second, c)), count);
    }
  }
};

}  // namespace octavo
