// How sums and factor are cut into tasks: each tile is one task's, so that threads change no bit.
#include "gram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernel_table.h"

namespace octavo {

void AddGram(double* sums, const float* x, int64_t n, int64_t width, ThreadPool& pool) {
  const auto kernel = Kernels().add_gram;
  const int64_t num_tiles = (width + kGramColumns - 1) / kGramColumns;
  std::vector<GramTile> tiles;
  const auto rest = [width](int64_t first) { return std::min(kGramColumns, width - first); };
  for (int64_t row = 0; row < num_tiles; row++) {
    for (int64_t col = row; col < num_tiles; col++) {
      const int64_t first_row = row * kGramColumns, first_col = col * kGramColumns;
      tiles.push_back({sums, x, n, width, first_row, rest(first_row), first_col, rest(first_col)});
    }
  }
  const ScratchPool::Block memory(pool.scratch(), static_cast<size_t>(pool.num_threads() * kGramScratch) * sizeof(float));
  float* scratch = memory.As<float>();
  pool.ParallelFor(static_cast<int64_t>(tiles.size()), [&](int64_t task, int thread) {
    kernel(tiles[static_cast<size_t>(task)], scratch + thread * kGramScratch);
  });
}

namespace {

/// The lower L with LLᵀ = d of a block's lower triangle, in place: the row at which that fails, else -1.
int64_t FactorBlock(double* d, int64_t stride, int64_t size) {
  for (int64_t i = 0; i < size; i++) {
    double* row = d + i * stride;
    for (int64_t j = 0; j <= i; j++) {
      const double* other = d + j * stride;
      double rest = row[j];
      for (int64_t k = 0; k < j; k++) rest -= row[k] * other[k];
      if (j < i) {
        row[j] = rest / other[j];
      } else {
        if (!(rest > 0) || !std::isfinite(rest)) return i;
        row[i] = std::sqrt(rest);
      }
    }
  }
  return -1;
}

/// inverse[size][size] of the lower triangle d, zeros above.
void InvertBlock(double* inverse, const double* d, int64_t stride, int64_t size) {
  std::fill_n(inverse, size * size, 0.0);
  for (int64_t i = 0; i < size; i++) {
    double* row = inverse + i * size;
    const double pivot = d[i * stride + i];
    for (int64_t k = 0; k < i; k++) {
      const double factor = d[i * stride + k];
      const double* other = inverse + k * size;
      for (int64_t j = 0; j <= k; j++) row[j] -= factor * other[j];
    }
    for (int64_t j = 0; j < i; j++) row[j] /= pivot;
    row[i] = 1.0 / pivot;
  }
}

/// One factorization. With columns and rows in reverse, H = RRᵀ with R upper is A = LLᵀ with L lower, and U = R⁻¹ is
/// L⁻¹: no inverse of H and no second factorization. L fills the lower triangle, then (L⁻¹)ᵀ the upper one, so that all
/// products are sums along rows.
class Factorization {
 public:
  Factorization(double* matrix, int64_t n, ThreadPool& pool)
      : a_(matrix), n_(n), num_blocks_((n + kFactorBlock - 1) / kFactorBlock), pool_(pool), kernel_(Kernels().subtract_product),
        inverses_(static_cast<size_t>(num_blocks_ * kBlockSize)),
        memory_(pool.scratch(), static_cast<size_t>(pool.num_threads() * kTaskScratch) * sizeof(double)) {}

  /// The row at which it fails, else -1.
  int64_t Factor() {
    for (int64_t k = 0; k < num_blocks_; k++) {
      const int64_t failed = FactorBlock(At(k, k), n_, Size(k));
      if (failed >= 0) return k * kFactorBlock + failed;
      InvertBlock(Inverse(k), At(k, k), n_, Size(k));
      const int64_t below = num_blocks_ - k - 1;
      pool_.ParallelFor(below, [&](int64_t task, int thread) {
        const int64_t i = k + 1 + task;
        TimesInverse(At(i, k), n_, At(i, k), n_, Size(i), k, thread);
      });
      pool_.ParallelFor(below * (below + 1) / 2, [&](int64_t task, int thread) {
        // Tasks count the tiles of a triangle row by row.
        int64_t row = static_cast<int64_t>((std::sqrt(8.0 * static_cast<double>(task) + 1.0) - 1.0) / 2.0);
        if (row * (row + 1) / 2 > task) row--;
        if ((row + 1) * (row + 2) / 2 <= task) row++;
        const int64_t i = k + 1 + row, j = k + 1 + task - row * (row + 1) / 2;
        kernel_({At(i, j), At(i, k), At(j, k), n_, n_, n_, Size(i), Size(j), Size(k)}, Scratch(thread));
      });
    }
    return -1;
  }

  /// Rows of (L⁻¹)ᵀ: of its blocks (j, i), from i = j on, each takes those before it.
  void Invert() {
    pool_.ParallelFor(num_blocks_, [&](int64_t j, int thread) {
      const int64_t size = Size(j);
      double* diagonal = At(j, j);
      for (int64_t r = 0; r < size; r++) {
        for (int64_t c = 0; c < size; c++) diagonal[r * n_ + c] = Inverse(j)[c * size + r];
      }
      double* sums = Scratch(thread) + kFactorScratch;
      for (int64_t i = j + 1; i < num_blocks_; i++) {
        std::fill_n(sums, size * Size(i), 0.0);
        for (int64_t k = j; k < i; k++) {
          kernel_({sums, At(j, k), At(i, k), Size(i), n_, n_, size, Size(i), Size(k)}, Scratch(thread));
        }
        TimesInverse(At(j, i), n_, sums, Size(i), size, i, thread);
      }
    });
  }

 private:
  static constexpr int64_t kBlockSize = kFactorBlock * kFactorBlock;
  static constexpr int64_t kTaskScratch = kFactorScratch + 2 * kBlockSize;

  double* At(int64_t row, int64_t col) const { return a_ + row * kFactorBlock * n_ + col * kFactorBlock; }
  double* Inverse(int64_t k) { return inverses_.data() + k * kBlockSize; }
  double* Scratch(int thread) const { return memory_.As<double>() + thread * kTaskScratch; }
  int64_t Size(int64_t block) const { return std::min(kFactorBlock, n_ - block * kFactorBlock); }

  /// to[rows][size of k] = from times the transposed inverse of diagonal block k; `to` may be `from`.
  void TimesInverse(double* to, int64_t to_stride, const double* from, int64_t from_stride, int64_t rows, int64_t k, int thread) {
    const int64_t size = Size(k);
    double* product = Scratch(thread) + kFactorScratch + kBlockSize;
    std::fill_n(product, rows * size, 0.0);
    kernel_({product, from, Inverse(k), size, from_stride, size, rows, size, size}, Scratch(thread));
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < size; c++) to[r * to_stride + c] = -product[r * size + c];
    }
  }

  double* a_;
  int64_t n_, num_blocks_;
  ThreadPool& pool_;
  void (*kernel_)(const FactorProduct&, double*);
  std::vector<double> inverses_;
  ScratchPool::Block memory_;
};

}  // namespace

int64_t InverseFactor(double* matrix, int64_t n, ThreadPool& pool) {
  std::reverse(matrix, matrix + n * n);
  Factorization factorization(matrix, n, pool);
  const int64_t failed = factorization.Factor();
  if (failed >= 0) return n - 1 - failed;
  factorization.Invert();
  // Rows of (L⁻¹)ᵀ become columns, the order is turned back.
  for (int64_t i = 0; i < n; i++) {
    std::fill_n(matrix + i * n, i, 0.0);
    for (int64_t j = i; i + j < n - 1; j++) std::swap(matrix[i * n + j], matrix[(n - 1 - j) * n + n - 1 - i]);
  }
  return -1;
}

}  // namespace octavo
