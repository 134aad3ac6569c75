#include "layer_norm_rows.h"
#include "vec_neon.h"

namespace octavo {

void LayerNormRowsNeon(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon) {
  LayerNormKernel<VecNeon>::Rows(out, x, weight, bias, n, d, epsilon);
}

}  // namespace octavo
