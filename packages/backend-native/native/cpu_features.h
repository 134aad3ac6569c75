// What this CPU can do, and which of it the kernels may use.
#pragma once

namespace octavo {

enum class Isa : int { kScalar = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3, kNeon = 4, kDotprod = 5 };

/// The best instruction set that both CPU and operating system allow (AMX needs a permission from Linux, asked for once).
Isa BestIsa();
/// The one in use: BestIsa(), unless SetIsa lowered it (tests run every path that the CPU has).
Isa CurrentIsa();
/// Returns false if the CPU lacks it. Matrices keep the path that was current when they were made.
bool SetIsa(Isa isa);
const char* IsaName(Isa isa);

}  // namespace octavo
