// Which of a kernel's versions runs: every `<Name>` exists as `<Name>Scalar`, on x86-64 as `<Name>Avx2` and `<Name>Avx512`,
// on arm64 as `<Name>Neon`.
#pragma once

#include "../cpu_features.h"

#if defined(__x86_64__) || defined(_M_X64)
#define OCTAVO_PICK_KERNEL(name) ::octavo::PickKernel(name##Scalar, name##Avx2, name##Avx512)
#elif defined(__aarch64__)
#define OCTAVO_PICK_KERNEL(name) ::octavo::PickKernel(name##Scalar, name##Neon)
#else
#define OCTAVO_PICK_KERNEL(name) (&name##Scalar)
#endif

namespace octavo {

/// x86-64
template <class Function>
Function* PickKernel(Function* scalar, Function* avx2, Function* avx512) {
  switch (CurrentIsa()) {
    case Isa::kAmx:  // a superset of AVX-512; its tiles only serve matrices
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    default:
      return scalar;
  }
}

/// arm64
template <class Function>
Function* PickKernel(Function* scalar, Function* neon) {
  // The dot product instructions beyond NEON only serve quantized matrices.
  return CurrentIsa() == Isa::kScalar ? scalar : neon;
}

}  // namespace octavo
