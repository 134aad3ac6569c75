#include "kernels/kernel_table.h"

#include "isa/avx2/linear_dense.h"
#include "isa/avx2/linear_quant.h"
#include "isa/avx2/pack_panel.h"
#include "isa/avx2/probe.h"
#include "isa/avx2/quantize_activations.h"
#include "isa/avx2/vec.h"
#include "isa/avx2/vec64.h"
#include "kernels/pack_panel_simd.h"
#include "kernels/vector_kernels.h"

namespace octavo {

const KernelTable& Avx2Kernels() {
  static const KernelTable table = [] {
    KernelTable own = ScalarKernels();
    FillVectorKernels<VecAvx2, Vec64Avx2>(own);
    own.pack = MakePackKernels<PackVector>();
    own.dense = MakeDenseKernels<Avx2Vector, 2>();
    own.quant = {QuantizeActivationsAvx2, 1, LinearInt8<Avx2Quant>, LinearFloat<Avx2Quant>};
    own.multiply = MultiplyAvx2;
    return own;
  }();
  return table;
}

}  // namespace octavo
