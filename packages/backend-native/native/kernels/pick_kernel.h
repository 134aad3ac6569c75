// Which of a kernel's versions runs: every `<Name>` exists as `<Name>Scalar` and, on x86, as `<Name>Avx2` and `<Name>Avx512`.
#pragma once

#include "../cpu_features.h"

#if defined(__x86_64__) || defined(_M_X64)
#define OCTAVO_PICK_KERNEL(name) ::octavo::PickKernel(name##Scalar, name##Avx2, name##Avx512)
#else
#define OCTAVO_PICK_KERNEL(name) (&name##Scalar)
#endif

namespace octavo {

template <class Function>
Function* PickKernel(Function* scalar, Function* avx2, Function* avx512) {
  switch (CurrentIsa()) {
    case Isa::kAmx:  // a superset of AVX-512; its tiles only serve matrices
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    case Isa::kNeon:
    case Isa::kScalar:
      return scalar;
  }
  return scalar;
}

}  // namespace octavo
