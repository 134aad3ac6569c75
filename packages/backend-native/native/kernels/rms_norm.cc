#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"
#include "rms_norm_rows.h"

namespace octavo {

void RmsNorm(float* out, const float* x, const float* weight, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(RmsNormRows);
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    kernel(out + begin * d, nullptr, x + begin * d, nullptr, weight, end - begin, d, epsilon);
  });
}

void AddRmsNorm(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(RmsNormRows);
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * d;
    kernel(out + at, sum + at, x + at, residual + at, weight, end - begin, d, epsilon);
  });
}

}  // namespace octavo
