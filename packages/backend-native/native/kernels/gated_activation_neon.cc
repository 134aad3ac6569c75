#include "gated_activation_run.h"
#include "vec_neon.h"

namespace octavo {

void GatedActivationRunNeon(float* out, const float* gate, const float* up, GatedKind kind, int64_t count) {
  GatedActivationKernel<VecNeon>::Run(out, gate, up, kind, count);
}

}  // namespace octavo
