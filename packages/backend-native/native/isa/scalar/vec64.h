// Vectors of doubles for any CPU: two that the compiler maps to whatever registers it has. The interface of all isa/*/vec64.h.
#pragma once

#include <cstring>

namespace octavo {

struct Vec64Scalar {
  static constexpr int kWidth = 2;
  static constexpr int kTileRows = 4;
  static constexpr int kTileVecs = 2;

  struct Reg {
    double lane[kWidth];
  };

  static Reg Set(double value) { return Reg{{value, value}}; }
  static Reg Zero() { return Set(0.0); }
  static Reg Load(const double* from) { return Reg{{from[0], from[1]}}; }
  static void Store(double* to, Reg r) { std::memcpy(to, r.lane, sizeof r.lane); }
  /// a * b + c, in two roundings here.
  static Reg Fma(Reg a, Reg b, Reg c) { return Reg{{a.lane[0] * b.lane[0] + c.lane[0], a.lane[1] * b.lane[1] + c.lane[1]}}; }
};

}  // namespace octavo
