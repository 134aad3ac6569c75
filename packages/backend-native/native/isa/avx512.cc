#include "kernels/kernel_table.h"

#include "isa/avx512/linear_dense.h"
#include "isa/avx512/linear_quant_float.h"
#include "isa/avx512/linear_wide_pairs.h"
#include "isa/avx512/pack_panel.h"
#include "isa/avx512/probe.h"
#include "isa/avx512/quantize_activations.h"
#include "isa/avx512/vec.h"
#include "isa/avx512/vec64.h"
#include "kernels/pack_panel_simd.h"
#include "kernels/vector_kernels.h"

namespace octavo {

void AddTileAvx512(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, const QuantizedActivations& x, int64_t tile,
                   float (*sums)[16]) {
  WithIntegralKind(w.kind, [&](auto kind) { AddTileVnni<decltype(kind)::value>(w, panel, begin, end, x, tile, sums); });
}

const KernelTable& Avx512Kernels() {
  static const KernelTable table = [] {
    KernelTable own = ScalarKernels();
    FillVectorKernels<VecAvx512, Vec64Avx512>(own);
    own.pack = MakePackKernels<PackVector>();
    own.dense = MakeDenseKernels<Avx512Vector, 2>();
    own.quant = {QuantizeActivationsAvx512, kZeroBias, LinearInt8<Avx512Quant>, LinearFloat<Avx512Quant>};
    own.wide = {WideUnitsAvx512, QuantizeWideAvx512, LinearWideAvx512, nullptr};
    own.multiply = MultiplyAvx512;
    return own;
  }();
  return table;
}

}  // namespace octavo
