#include "rms_norm_rows.h"
#include "vec_neon.h"

namespace octavo {

void RmsNormRowsNeon(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon) {
  RmsNormKernel<VecNeon>::Rows(out, sum, x, residual, weight, n, d, epsilon);
}

}  // namespace octavo
