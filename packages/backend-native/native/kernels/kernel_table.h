// What an instruction set brings: every kernel that exists once per set. isa/<set>.cc fills its table.
#pragma once

#include <cstdint>

#include "gram.h"
#include "linear_dense.h"
#include "linear_dense_tiles.h"
#include "linear_quant.h"
#include "linear_wide.h"
#include "ops.h"
#include "pack_panel.h"
#include "paged_attention_task.h"
#include "sample.h"

namespace octavo {

/// Of a run of values.
struct Largest {
  float value;
  int64_t index;
};

struct KernelTable {
  void (*activation)(float* out, const float* x, ActivationKind kind, int64_t count);
  /// out = act(gate) * up
  void (*gated_activation)(float* out, const float* gate, const float* up, GatedKind kind, int64_t count);
  /// The largest of x[0 .. n), the lowest index among equals; NaN is never the largest (index 0 where nothing else is there).
  Largest (*argmax)(const float* x, int64_t n);
  /// With `residual`: sum = x + residual, out = norm(sum); without (both null): out = norm(x).
  void (*rms_norm)(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d,
                   float epsilon);
  void (*layer_norm)(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon);
  /// Rows begin <= i < end of `args`; out may be x itself.
  void (*rotary)(const RotaryArgs& args, int64_t begin, int64_t end);
  void (*round_to_bfloat16)(uint16_t* to, const float* from, int64_t n);
  /// to and from [heads, head_dim], scales [heads].
  void (*quantize_heads)(int8_t* to, float* scales, const float* from, int64_t heads, int64_t head_dim);
  void (*attend)(const AttentionTask& task, float* scratch);
  void (*merge_partials)(const AttentionTask& task, float* scratch);
  void (*add_gram)(const GramTile& tile, float* scratch);
  void (*subtract_product)(const FactorProduct& product, double* scratch);
  SampleKernels sample;
  PackKernels pack;
  DenseKernels dense;
  DenseTileKernels dense_tiles;
  QuantKernels quant;
  WideKernels wide;
  /// Runs `rounds` of int8 products and returns the number of operations. Null where there is no such probe.
  double (*multiply)(int64_t rounds);
};

const KernelTable& ScalarKernels();
// x86-64
const KernelTable& Avx2Kernels();
const KernelTable& Avx512Kernels();
const KernelTable& AmxKernels();
// arm64
const KernelTable& NeonKernels();
const KernelTable& DotprodKernels();

/// That of the instruction set in use.
const KernelTable& Kernels();

}  // namespace octavo
