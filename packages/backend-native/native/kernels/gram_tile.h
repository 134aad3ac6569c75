// A tile of xᵀx, as a template over the vectors of isa/*/vec.h.
#pragma once

#include <cstdint>

#include "gram.h"
#include "outer_tile.h"

namespace octavo {

template <class V>
struct GramKernel {
  using Outer = OuterTile<V, float>;
  static_assert(Outer::kRows <= kPackedMargin && Outer::kCols <= kPackedMargin, "packing has room");

  static void Add(const GramTile& tile, float* scratch /*[kGramScratch]*/) {
    float* left = scratch;
    float* right = scratch + kGramScratch / 2;
    for (int64_t token = 0; token < tile.n; token += kGramTokens) {
      const int64_t depth = tile.n - token < kGramTokens ? tile.n - token : kGramTokens;
      const float* x = tile.x + token * tile.width;
      Outer::PackColumns(left, x + tile.first_row, tile.width, depth, tile.num_rows, Outer::kRows);
      Outer::PackColumns(right, x + tile.first_col, tile.width, depth, tile.num_cols, Outer::kCols);
      for (int64_t col = 0; col < tile.num_cols; col += Outer::kCols) {
        for (int64_t row = 0; row < tile.num_rows; row += Outer::kRows) {
          AddMicroTile(tile, row, col, left + row * depth, right + col * depth, depth);
        }
      }
    }
  }

 private:
  static void AddMicroTile(const GramTile& tile, int64_t row, int64_t col, const float* left, const float* right, int64_t depth) {
    const int64_t last = tile.first_col + (tile.num_cols - col < Outer::kCols ? tile.num_cols : col + Outer::kCols);
    if (last <= tile.first_row + row) return;
    alignas(64) float sums[Outer::kRows * Outer::kCols];
    Outer::Run(sums, left, right, depth);
    const int64_t num_rows = tile.num_rows - row < Outer::kRows ? tile.num_rows - row : Outer::kRows;
    for (int64_t r = 0; r < num_rows; r++) {
      const int64_t i = tile.first_row + row + r;
      const int64_t j = tile.first_col + col;
      double* to = tile.sums + i * tile.width;
      const float* from = sums + r * Outer::kCols - j;
      for (int64_t at = j < i ? i : j; at < last; at++) to[at] += static_cast<double>(from[at]);
    }
  }
};

}  // namespace octavo
