#include "gated_activation_run.h"
#include "vec_avx512.h"

namespace octavo {

void GatedActivationRunAvx512(float* out, const float* gate, const float* up, GatedKind kind, int64_t count) {
  GatedActivationKernel<VecAvx512>::Run(out, gate, up, kind, count);
}

}  // namespace octavo
