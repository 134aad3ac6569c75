#include "ops.h"
#include "parallel_rows.h"
#include "pick_kernel.h"
#include "rotary_rows.h"

namespace octavo {

void RotaryEmbedding(const RotaryArgs& args, ThreadPool& pool) {
  auto* const kernel = OCTAVO_PICK_KERNEL(RotaryRows);
  ParallelRows(pool, args.n, args.width, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace octavo
