#include "kernel_table.h"

#include "../cpu_features.h"

namespace octavo {

const KernelTable& Kernels() {
  switch (CurrentIsa()) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
    case Isa::kAmx:
      return AmxKernels();
#elif defined(__aarch64__)
    case Isa::kNeon:
      return NeonKernels();
    case Isa::kDotprod:
      return DotprodKernels();
#endif
    default:
      return ScalarKernels();
  }
}

}  // namespace octavo
