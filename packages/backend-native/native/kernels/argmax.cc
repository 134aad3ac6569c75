#include "argmax_run.h"

#include <vector>

#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"

namespace octavo {

void ArgmaxRows(int32_t* out, const float* x, int64_t rows, int64_t n, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(ArgmaxRun);
  constexpr int64_t kSpan = 2 * kElementsPerChunk;
  const int64_t spans = rows > 0 && n > 0 ? (n + kSpan - 1) / kSpan : 1;
  std::vector<Largest> found(static_cast<size_t>(rows * spans), Largest{0.0f, 0});
  ParallelRows(pool, rows * spans, kSpan, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t start = i % spans * kSpan;
      found[static_cast<size_t>(i)] = kernel(x + i / spans * n + start, n - start < kSpan ? n - start : kSpan);
    }
  });
  for (int64_t row = 0; row < rows; row++) {
    const Largest* spans_of_row = &found[static_cast<size_t>(row * spans)];
    int64_t best = 0;
    for (int64_t s = 1; s < spans; s++) {
      if (spans_of_row[s].value > spans_of_row[best].value) best = s;
    }
    out[row] = static_cast<int32_t>(best * kSpan + spans_of_row[best].index);
  }
}

}  // namespace octavo
