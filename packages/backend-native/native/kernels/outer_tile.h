// The micro tile of products whose factors are packed depth by depth: a template over the vectors of isa/*/vec.h and vec64.h.
#pragma once

#include <cstdint>

namespace octavo {

/// T: float with V of vec.h, double with V of vec64.h.
template <class V, class T>
struct OuterTile {
  using Reg = typename V::Reg;
  static constexpr int kRows = V::kTileRows;
  static constexpr int kCols = V::kTileVecs * V::kWidth;

  /// out[kRows][kCols] = the sum over k of a[k][kRows] * b[k][kCols], k ascending.
  static void Run(T* out, const T* a, const T* b, int64_t depth) {
    Reg sums[kRows][V::kTileVecs];
    for (int r = 0; r < kRows; r++) {
      for (int v = 0; v < V::kTileVecs; v++) sums[r][v] = V::Zero();
    }
    for (int64_t k = 0; k < depth; k++, a += kRows, b += kCols) {
      Reg right[V::kTileVecs];
      for (int v = 0; v < V::kTileVecs; v++) right[v] = V::Load(b + v * V::kWidth);
      for (int r = 0; r < kRows; r++) {
        const Reg left = V::Set(a[r]);
        for (int v = 0; v < V::kTileVecs; v++) sums[r][v] = V::Fma(left, right[v], sums[r][v]);
      }
    }
    for (int r = 0; r < kRows; r++) {
      for (int v = 0; v < V::kTileVecs; v++) V::Store(out + r * kCols + v * V::kWidth, sums[r][v]);
    }
  }

  /// Elements of `count` columns or rows, packed in panels of `width`.
  static constexpr int64_t PackedSize(int64_t count, int64_t depth, int64_t width) {
    return (count + width - 1) / width * width * depth;
  }

  /// Columns of from[depth][count] in panels [depth][width], zeros behind the last.
  static void PackColumns(T* to, const T* from, int64_t stride, int64_t depth, int64_t count, int64_t width) {
    for (int64_t first = 0; first < count; first += width) {
      const int64_t filled = count - first < width ? count - first : width;
      for (int64_t k = 0; k < depth; k++, to += width) {
        const T* row = from + k * stride + first;
        for (int64_t c = 0; c < filled; c++) to[c] = row[c];
        for (int64_t c = filled; c < width; c++) to[c] = 0;
      }
    }
  }

  /// Rows of from[count][depth] in panels [depth][width], zeros behind the last.
  static void PackRows(T* to, const T* from, int64_t stride, int64_t depth, int64_t count, int64_t width) {
    for (int64_t first = 0; first < count; first += width, to += depth * width) {
      const int64_t filled = count - first < width ? count - first : width;
      for (int64_t c = 0; c < filled; c++) {
        const T* row = from + (first + c) * stride;
        for (int64_t k = 0; k < depth; k++) to[k * width + c] = row[k];
      }
      for (int64_t c = filled; c < width; c++) {
        for (int64_t k = 0; k < depth; k++) to[k * width + c] = 0;
      }
    }
  }
};

}  // namespace octavo
