// Vectors of eight doubles: AVX-512. The interface is that of isa/scalar/vec64.h.
#pragma once

#include <immintrin.h>

namespace octavo {

struct Vec64Avx512 {
  static constexpr int kWidth = 8;
  static constexpr int kTileRows = 8;
  static constexpr int kTileVecs = 2;

  using Reg = __m512d;

  static Reg Set(double value) { return _mm512_set1_pd(value); }
  static Reg Zero() { return _mm512_setzero_pd(); }
  static Reg Load(const double* from) { return _mm512_loadu_pd(from); }
  static void Store(double* to, Reg r) { _mm512_storeu_pd(to, r); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_pd(a, b, c); }
};

}  // namespace octavo
