#include "kernels/kernel_table.h"

#include "isa/dotprod/linear_quant.h"
#include "isa/dotprod/probe.h"

namespace octavo {

const KernelTable& DotprodKernels() {
  static const KernelTable table = [] {
    KernelTable own = NeonKernels();
    own.quant.int8 = LinearInt8<NeonInt8<DotInstructions>>;
    own.multiply = MultiplyDotprod;
    return own;
  }();
  return table;
}

}  // namespace octavo
