#include "argmax_run.h"
#include "vec_scalar.h"

namespace octavo {

Largest ArgmaxRunScalar(const float* x, int64_t n) {
  return ArgmaxKernel<VecScalar>::Run(x, n);
}

}  // namespace octavo
