#include "kernels/kernel_table.h"

#include "isa/scalar/linear_dense.h"
#include "isa/scalar/linear_quant.h"
#include "isa/scalar/linear_wide.h"
#include "isa/scalar/pack_panel.h"
#include "isa/scalar/quantize_activations.h"
#include "isa/scalar/vec.h"
#include "isa/scalar/vec64.h"
#include "kernels/vector_kernels.h"

namespace octavo {

const KernelTable& ScalarKernels() {
  static const KernelTable table = [] {
    KernelTable own = {};
    FillVectorKernels<VecScalar, Vec64Scalar>(own);
    own.pack = kPackKernelsScalar;
    own.dense = MakeDenseKernels<ScalarVector, 1>();
    own.quant = {QuantizeActivationsScalar, 1, LinearInt8<ScalarQuant>, LinearFloat<ScalarQuant>};
    own.wide = {WideUnitsScalar, QuantizeWideScalar, LinearWideScalar, nullptr};
    return own;
  }();
  return table;
}

}  // namespace octavo
