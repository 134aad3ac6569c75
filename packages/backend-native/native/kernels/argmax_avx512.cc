#include "argmax_run.h"
#include "vec_avx512.h"

namespace octavo {

Largest ArgmaxRunAvx512(const float* x, int64_t n) {
  return ArgmaxKernel<VecAvx512>::Run(x, n);
}

}  // namespace octavo
