#include "activation_run.h"
#include "vec_avx512.h"

namespace octavo {

void ActivationRunAvx512(float* out, const float* x, ActivationKind kind, int64_t count) {
  ActivationKernel<VecAvx512>::Run(out, x, kind, count);
}

}  // namespace octavo
