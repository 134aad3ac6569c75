#include "rotary_rows.h"
#include "vec_scalar.h"

namespace octavo {

void RotaryRowsScalar(const RotaryArgs& args, int64_t begin, int64_t end) {
  RotaryKernel<VecScalar>::Rows(args, begin, end);
}

}  // namespace octavo
