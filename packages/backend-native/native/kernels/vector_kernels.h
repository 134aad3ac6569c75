// The kernels that are templates over the vectors of isa/*/vec.h, in a table.
#pragma once

#include "activation_run.h"
#include "argmax_run.h"
#include "factor_tile.h"
#include "gated_activation_run.h"
#include "gram_tile.h"
#include "kernel_table.h"
#include "kv_write_rows.h"
#include "layer_norm_rows.h"
#include "paged_attention_kernel.h"
#include "rms_norm_rows.h"
#include "rotary_rows.h"
#include "sample_run.h"

namespace octavo {

/// V: of isa/*/vec.h, V64: of vec64.h.
template <class V, class V64>
void FillVectorKernels(KernelTable& table) {
  table.activation = ActivationKernel<V>::Run;
  table.gated_activation = GatedActivationKernel<V>::Run;
  table.argmax = ArgmaxKernel<V>::Run;
  table.rms_norm = RmsNormKernel<V>::Rows;
  table.layer_norm = LayerNormKernel<V>::Rows;
  table.rotary = RotaryKernel<V>::Rows;
  table.round_to_bfloat16 = KvWriteKernel<V>::RoundToBfloat16;
  table.quantize_heads = KvWriteKernel<V>::QuantizeHeads;
  table.attend = AttentionKernel<V>::Attend;
  table.merge_partials = AttentionKernel<V>::MergePartials;
  table.add_gram = GramKernel<V>::Add;
  table.subtract_product = FactorKernel<V64>::Subtract;
  table.sample = SampleRun<V>::Kernels();
}

}  // namespace octavo
