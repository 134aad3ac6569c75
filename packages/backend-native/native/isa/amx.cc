#include "kernels/kernel_table.h"

#include "isa/amx/linear_dense.h"
#include "isa/amx/linear_quant.h"
#include "isa/amx/linear_wide.h"
#include "isa/amx/probe.h"

namespace octavo {

const KernelTable& AmxKernels() {
  static const KernelTable table = [] {
    KernelTable own = Avx512Kernels();
    own.dense_tiles = {AmxSplit, AmxSplitHalf, AmxMultiply};
    own.quant.int8 = LinearInt8Amx;
    own.wide.tiles = LinearWideAmx;
    own.multiply = MultiplyAmx;
    return own;
  }();
  return table;
}

}  // namespace octavo
