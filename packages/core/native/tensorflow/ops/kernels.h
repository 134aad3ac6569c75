// What the fused ops compute, without TensorFlow: one table of functions per instruction set, over plain arrays.
#pragma once

#include <cstdint>

namespace octavo {

constexpr int64_t kMaxHeadDim = 1024;

/** y[m, n] = x[m, :] . weight[n, :] (+ bias[n]), rows of the weight in float32 or, widened in registers, in bfloat16. */
struct Linear {
  const float* x;  // [num_rows, num_inputs]
  const void* weight;  // [num_outputs, num_inputs]
  const float* bias;  // [num_outputs] or null
  float* y;  // [num_rows, num_outputs]
  int64_t num_inputs, num_outputs;
};

/** A rectangle of the result. */
struct LinearRange {
  int64_t first_row, end_row, first_output, end_output;
};

struct Attention {
  const float* query;  // [num_tokens, num_heads * head_dim]
  const void* keys;  // [num_slots, num_kv_heads * head_dim]
  const void* values;  // likewise
  const float* sinks;  // [num_heads] or null
  float* out;  // like query
  int64_t num_heads, num_kv_heads, head_dim, block_size;
  int64_t sliding_window;  // 0: none
  float scale;
  float softcap;  // 0: none
};

/** Some query rows of one sequence, and the key/value heads that they are computed for. */
struct AttentionItem {
  const int32_t* blocks;  // the sequence's block table
  int64_t first_row, num_rows;
  int64_t position;  // of the first row
  int64_t first_kv_head, num_kv_heads;
};

enum class Gate { kSilu = 0, kGeluTanh = 1, kSwigluOss = 2 };

struct Kernels {
  void (*linear)(const Linear&, const LinearRange&);
  void (*linear_bf16)(const Linear&, const LinearRange&);
  void (*attend)(const Attention&, const AttentionItem&, float* scratch);
  void (*attend_bf16)(const Attention&, const AttentionItem&, float* scratch);
  /** Floats of scratch for an item of at most `num_rows` rows and `num_kv_heads` heads. */
  int64_t (*attention_scratch)(const Attention&, int64_t num_rows, int64_t num_kv_heads);
  /** Where `residual` is not null, x + residual goes to `sum` and is what the norm is of. */
  void (*rms_norm)(const float* x, const float* residual, const float* weight, float epsilon, int64_t num_rows,
                   int64_t num_features, float* normed, float* sum);
  /** gate_up [num_rows, 2 * num_features] -> [num_rows, num_features]. */
  void (*gated)(Gate kind, const float* gate_up, int64_t num_rows, int64_t num_features, float* out);
  /** Heads of one row by `table_row`: rotary_dim / 2 cosines, then as many sines. */
  void (*rotate)(const float* x, const float* table_row, int64_t num_heads, int64_t head_dim, int64_t rotary_dim,
                 float* out);
};

/** The widest that this CPU has; OCTAVO_TENSORFLOW_ISA names narrower ones: avx512, avx2, baseline. */
const Kernels& BestKernels();

const Kernels* BaselineKernels();
#if defined(__x86_64__)
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();
#endif

}  // namespace octavo
