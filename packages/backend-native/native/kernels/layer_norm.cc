#include "layer_norm_rows.h"
#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"

namespace octavo {

void LayerNorm(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(LayerNormRows);
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    kernel(out + begin * d, x + begin * d, weight, bias, end - begin, d, epsilon);
  });
}

}  // namespace octavo
