#include "activation_run.h"
#include "vec_avx2.h"

namespace octavo {

void ActivationRunAvx2(float* out, const float* x, ActivationKind kind, int64_t count) {
  ActivationKernel<VecAvx2>::Run(out, x, kind, count);
}

}  // namespace octavo
