#include "argmax_run.h"
#include "vec_avx2.h"

namespace octavo {

Largest ArgmaxRunAvx2(const float* x, int64_t n) {
  return ArgmaxKernel<VecAvx2>::Run(x, n);
}

}  // namespace octavo
