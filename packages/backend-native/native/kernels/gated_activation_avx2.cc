#include "gated_activation_run.h"
#include "vec_avx2.h"

namespace octavo {

void GatedActivationRunAvx2(float* out, const float* gate, const float* up, GatedKind kind, int64_t count) {
  GatedActivationKernel<VecAvx2>::Run(out, gate, up, kind, count);
}

}  // namespace octavo
