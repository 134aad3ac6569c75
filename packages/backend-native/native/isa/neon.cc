#include "kernels/kernel_table.h"

#include "isa/neon/linear_dense.h"
#include "isa/neon/linear_quant_products.h"
#include "isa/neon/probe.h"
#include "isa/neon/quantize_activations.h"
#include "isa/neon/vec.h"
#include "isa/neon/vec64.h"
#include "kernels/vector_kernels.h"

namespace octavo {

const KernelTable& NeonKernels() {
  static const KernelTable table = [] {
    KernelTable own = ScalarKernels();
    FillVectorKernels<VecNeon, Vec64Neon>(own);
    own.dense = MakeDenseKernels<NeonVector, 4>();
    own.quant = {QuantizeActivationsNeon, 1, LinearInt8<NeonQuant>, LinearFloat<NeonQuant>};
    own.multiply = MultiplyNeon;
    return own;
  }();
  return table;
}

}  // namespace octavo
