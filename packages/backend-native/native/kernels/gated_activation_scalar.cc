#include "gated_activation_run.h"
#include "vec_scalar.h"

namespace octavo {

void GatedActivationRunScalar(float* out, const float* gate, const float* up, GatedKind kind, int64_t count) {
  GatedActivationKernel<VecScalar>::Run(out, gate, up, kind, count);
}

}  // namespace octavo
