#include "rotary_rows.h"
#include "vec_neon.h"

namespace octavo {

void RotaryRowsNeon(const RotaryArgs& args, int64_t begin, int64_t end) {
  RotaryKernel<VecNeon>::Rows(args, begin, end);
}

}  // namespace octavo
