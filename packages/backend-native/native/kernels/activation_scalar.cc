#include "activation_run.h"
#include "vec_scalar.h"

namespace octavo {

void ActivationRunScalar(float* out, const float* x, ActivationKind kind, int64_t count) {
  ActivationKernel<VecScalar>::Run(out, x, kind, count);
}

}  // namespace octavo
