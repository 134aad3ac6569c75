// Vectors of four doubles: AVX2 with fused multiply-add. The interface is that of isa/scalar/vec64.h.
#pragma once

#include <immintrin.h>

namespace octavo {

struct Vec64Avx2 {
  static constexpr int kWidth = 4;
  static constexpr int kTileRows = 6;
  static constexpr int kTileVecs = 2;

  using Reg = __m256d;

  static Reg Set(double value) { return _mm256_set1_pd(value); }
  static Reg Zero() { return _mm256_setzero_pd(); }
  static Reg Load(const double* from) { return _mm256_loadu_pd(from); }
  static void Store(double* to, Reg r) { _mm256_storeu_pd(to, r); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_pd(a, b, c); }
};

}  // namespace octavo
