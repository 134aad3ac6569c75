#include "activation_run.h"
#include "vec_neon.h"

namespace octavo {

void ActivationRunNeon(float* out, const float* x, ActivationKind kind, int64_t count) {
  ActivationKernel<VecNeon>::Run(out, x, kind, count);
}

}  // namespace octavo
