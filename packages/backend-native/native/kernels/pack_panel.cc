#include "pack_panel.h"

#include "../cpu_features.h"

namespace octavo {

const PackKernels& CurrentPackKernels() {
  switch (CurrentIsa()) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAmx:
    case Isa::kAvx512:
      return kPackKernelsAvx512;
    case Isa::kAvx2:
      return kPackKernelsAvx2;
#endif
    default:
      return kPackKernelsScalar;
  }
}

}  // namespace octavo
