#include "rotary_rows.h"
#include "vec_avx512.h"

namespace octavo {

void RotaryRowsAvx512(const RotaryArgs& args, int64_t begin, int64_t end) {
  RotaryKernel<VecAvx512>::Rows(args, begin, end);
}

}  // namespace octavo
