#include "rms_norm_rows.h"
#include "vec_avx512.h"

namespace octavo {

void RmsNormRowsAvx512(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon) {
  RmsNormKernel<VecAvx512>::Rows(out, sum, x, residual, weight, n, d, epsilon);
}

}  // namespace octavo
