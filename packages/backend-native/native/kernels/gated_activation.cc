#include "gated_activation_run.h"
#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"

namespace octavo {

void GatedActivation(float* out, const float* gate_up, GatedKind kind, int64_t n, int64_t m, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(GatedActivationRun);
  // Over the flat output: a chunk may begin and end within a row, so that a single wide row is shared too.
  ParallelRows(pool, n * m, 1, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / m;
      const int64_t column = begin % m;
      const int64_t count = end - begin < m - column ? end - begin : m - column;
      const float* gate = gate_up + row * 2 * m + column;
      kernel(out + begin, gate, gate + m, kind, count);
      begin += count;
    }
  });
}

}  // namespace octavo
