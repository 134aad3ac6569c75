// The products of the factorization, as a template over the vectors of isa/*/vec64.h.
#pragma once

#include <cstdint>

#include "gram.h"
#include "outer_tile.h"

namespace octavo {

template <class V>
struct FactorKernel {
  using Outer = OuterTile<V, double>;
  static_assert(Outer::kRows <= kPackedMargin && Outer::kCols <= kPackedMargin, "packing has room");

  static void Subtract(const FactorProduct& product, double* scratch /*[kFactorScratch]*/) {
    double* left = scratch;
    double* right = scratch + kFactorScratch / 2;
    Outer::PackRows(left, product.a, product.a_stride, product.k, product.m, Outer::kRows);
    Outer::PackRows(right, product.b, product.b_stride, product.k, product.n, Outer::kCols);
    alignas(64) double sums[Outer::kRows * Outer::kCols];
    for (int64_t col = 0; col < product.n; col += Outer::kCols) {
      const int64_t num_cols = product.n - col < Outer::kCols ? product.n - col : Outer::kCols;
      for (int64_t row = 0; row < product.m; row += Outer::kRows) {
        const int64_t num_rows = product.m - row < Outer::kRows ? product.m - row : Outer::kRows;
        Outer::Run(sums, left + row * product.k, right + col * product.k, product.k);
        for (int64_t r = 0; r < num_rows; r++) {
          double* to = product.c + (row + r) * product.c_stride + col;
          for (int64_t c = 0; c < num_cols; c++) to[c] -= sums[r * Outer::kCols + c];
        }
      }
    }
  }
};

}  // namespace octavo
