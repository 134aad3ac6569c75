#include "activation_run.h"
#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"

namespace octavo {

void Activation(float* out, const float* x, ActivationKind kind, int64_t count, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(ActivationRun);
  ParallelRows(pool, count, 1, [&](int64_t begin, int64_t end) { kernel(out + begin, x + begin, kind, end - begin); });
}

}  // namespace octavo
