#include "layer_norm_rows.h"
#include "vec_avx512.h"

namespace octavo {

void LayerNormRowsAvx512(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon) {
  LayerNormKernel<VecAvx512>::Rows(out, x, weight, bias, n, d, epsilon);
}

}  // namespace octavo
