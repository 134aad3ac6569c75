#include "cpu_features.h"

#include <atomic>
#include <cstdint>
#include <initializer_list>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace octavo {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers CpuId(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool Has(uint32_t value, std::initializer_list<int> bits) {
  for (const int bit : bits) {
    if ((value >> bit & 1) == 0) return false;
  }
  return true;
}

/// Which registers the operating system saves at a context switch.
uint64_t ReadXcr0() {
  uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

/// Linux gives a process the 8 KiB of tile registers only when it asks for them.
bool MayUseTiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa Detect() {
  constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000;
  const Registers one = CpuId(1, 0);
  const Registers seven = CpuId(7, 0);
  // Leaf 1: FMA, OSXSAVE, AVX, F16C. Leaf 7: AVX2; AVX-512 F, DQ, BW, VL, VNNI, BF16; AMX BF16, TILE, INT8.
  if (!Has(one.ecx, {12, 27, 28, 29}) || !Has(seven.ebx, {5})) return Isa::kScalar;
  const uint64_t saved = ReadXcr0();
  if ((saved & kAvxState) != kAvxState) return Isa::kScalar;
  const bool has_avx512 =
      Has(seven.ebx, {16, 17, 30, 31}) && Has(seven.ecx, {11}) && Has(CpuId(7, 1).eax, {5});
  if (!has_avx512 || (saved & kAvx512State) != kAvx512State) return Isa::kAvx2;
  const bool has_amx = Has(seven.edx, {22, 24, 25}) && (saved & kTileState) == kTileState;
  return has_amx && MayUseTiles() ? Isa::kAmx : Isa::kAvx512;
}

#elif defined(__aarch64__)

bool HasDotProducts() {
#if defined(__linux__)
  constexpr unsigned long kAsimdDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kAsimdDotProduct) != 0;
#elif defined(__APPLE__)
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &size, nullptr, 0) == 0 && value != 0;
#else
  return false;
#endif
}

Isa Detect() { return HasDotProducts() ? Isa::kDotprod : Isa::kNeon; }

#else

Isa Detect() { return Isa::kScalar; }

#endif

std::atomic<int>& Current() {
  static std::atomic<int> current{static_cast<int>(BestIsa())};
  return current;
}

}  // namespace

Isa BestIsa() {
  static const Isa best = Detect();
  return best;
}

Isa CurrentIsa() { return static_cast<Isa>(Current().load(std::memory_order_relaxed)); }

bool SetIsa(Isa isa) {
  // Each architecture's values are in ascending order, those of arm64 behind all of x86.
  const bool is_arm = BestIsa() >= Isa::kNeon;
  const bool is_known = isa == Isa::kScalar || (isa <= BestIsa() && (isa >= Isa::kNeon) == is_arm);
  if (is_known) Current().store(static_cast<int>(isa), std::memory_order_relaxed);
  return is_known;
}

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAmx: return "amx";
    case Isa::kNeon: return "neon";
    case Isa::kDotprod: return "dotprod";
    case Isa::kScalar: break;
  }
  return "scalar";
}

}  // namespace octavo
