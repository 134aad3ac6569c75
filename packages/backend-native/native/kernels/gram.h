// Sums of products that solvers ask for: xᵀx over many batches, and the factor of its inverse.
#pragma once

#include <cstdint>

#include "../thread_pool.h"

namespace octavo {

/// Columns of a tile of the sums, and tokens that are added up in float32.
constexpr int64_t kGramColumns = 128;
constexpr int64_t kGramTokens = 128;
/// Rows and columns of a block of the factor.
constexpr int64_t kFactorBlock = 128;
/// Room that packing may add to either side of a tile: no micro tile is larger.
constexpr int64_t kPackedMargin = 64;

/// A tile of the sums: columns rows.first … against cols.first …, of which those on and above the diagonal are kept.
struct GramTile {
  double* sums;    // [width, width]
  const float* x;  // [n, width]
  int64_t n, width;
  int64_t first_row, num_rows;
  int64_t first_col, num_cols;
};

/// c[m][n] -= the sum over k of a[m][k] * b[n][k]; m, n and k up to kFactorBlock.
struct FactorProduct {
  double* c;
  const double* a;
  const double* b;
  int64_t c_stride, a_stride, b_stride;
  int64_t m, n, k;
};

constexpr int64_t kGramScratch = 2 * (kGramColumns + kPackedMargin) * kGramTokens;           // floats
constexpr int64_t kFactorScratch = 2 * (kFactorBlock + kPackedMargin) * kFactorBlock;        // doubles

/// The upper triangle of sums[width, width] += xᵀx of x[n, width]: float32 over 128 tokens, those sums in float64.
void AddGram(double* sums, const float* x, int64_t n, int64_t width, ThreadPool& pool);

/// Of a symmetric matrix in the upper triangle: the upper U with UᵀU = its inverse, in place, zeros below. The column at
/// which it is found not to be positive definite, else -1; the matrix is lost then.
int64_t InverseFactor(double* matrix, int64_t n, ThreadPool& pool);

}  // namespace octavo
