#include "argmax_run.h"
#include "vec_neon.h"

namespace octavo {

Largest ArgmaxRunNeon(const float* x, int64_t n) {
  return ArgmaxKernel<VecNeon>::Run(x, n);
}

}  // namespace octavo
