// Vectors of two doubles: NEON, which every arm64 CPU has. The interface is that of isa/scalar/vec64.h.
#pragma once

#include <arm_neon.h>

namespace octavo {

struct Vec64Neon {
  static constexpr int kWidth = 2;
  static constexpr int kTileRows = 6;
  static constexpr int kTileVecs = 4;

  using Reg = float64x2_t;

  static Reg Set(double value) { return vdupq_n_f64(value); }
  static Reg Zero() { return vdupq_n_f64(0.0); }
  static Reg Load(const double* from) { return vld1q_f64(from); }
  static void Store(double* to, Reg r) { vst1q_f64(to, r); }
  static Reg Fma(Reg a, Reg b, Reg c) { return vfmaq_f64(c, a, b); }
};

}  // namespace octavo
