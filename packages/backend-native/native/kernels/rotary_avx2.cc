#include "rotary_rows.h"
#include "vec_avx2.h"

namespace octavo {

void RotaryRowsAvx2(const RotaryArgs& args, int64_t begin, int64_t end) {
  RotaryKernel<VecAvx2>::Rows(args, begin, end);
}

}  // namespace octavo
