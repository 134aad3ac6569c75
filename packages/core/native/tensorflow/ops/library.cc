// What the binding asks of a library of fused ops once TensorFlow has loaded it.
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace octavo {

static bool MayUse(const char* isa) {
  const char* const wanted = std::getenv("OCTAVO_TENSORFLOW_ISA");
  return wanted == nullptr || std::strcmp(wanted, isa) == 0;
}

const Kernels& BestKernels() {
  static const Kernels* const best = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    const bool has_fma = __builtin_cpu_supports("fma");
    if (MayUse("avx512") && has_avx512 && has_fma) return Avx512Kernels();
    if (MayUse("avx2") && __builtin_cpu_supports("avx2") && has_fma) return Avx2Kernels();
#endif
    return BaselineKernels();
  }();
  return *best;
}

}  // namespace octavo

/** The device that its kernels are for, then its ops. */
extern "C" __attribute__((visibility("default"))) const char* octavo_fused_ops() {
  return "CPU OctavoLinear OctavoLinearBias OctavoRmsNorm OctavoAddRmsNorm OctavoGatedActivation OctavoRotaryEmbedding "
         "OctavoKvWrite OctavoPagedAttention OctavoPagedAttentionSinks";
}
