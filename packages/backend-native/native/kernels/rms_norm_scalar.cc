#include "rms_norm_rows.h"
#include "vec_scalar.h"

namespace octavo {

void RmsNormRowsScalar(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon) {
  RmsNormKernel<VecScalar>::Rows(out, sum, x, residual, weight, n, d, epsilon);
}

}  // namespace octavo
