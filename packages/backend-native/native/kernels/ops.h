// The kernels that are not matrices: plain functions, out first; shapes beside the names.
// Each reduces every output element in one fixed order, whatever the number of rows and threads.
#pragma once

#include <cstdint>

#include "../thread_pool.h"

namespace octavo {

enum class ActivationKind : int32_t { kSilu, kGelu, kGeluTanh, kRelu };
enum class GatedKind : int32_t { kSilu, kGelu, kGeluTanh, kSwigluOss };

void RmsNorm(float* out /*[n, d]*/, const float* x /*[n, d]*/, const float* weight /*[d]*/, int64_t n, int64_t d, float epsilon, ThreadPool& pool);
/// sum = x + residual; out = RmsNorm(sum).
void AddRmsNorm(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon, ThreadPool& pool);
void LayerNorm(float* out, const float* x, const float* weight, const float* bias /*or null*/, int64_t n, int64_t d, float epsilon, ThreadPool& pool);

struct RotaryArgs {
  float* out;            // [n, width]
  const float* x;        // [n, width], width = heads * head_dim
  const float* table;    // [positions, rotary_dim]: cos[rotary_dim / 2] then sin[rotary_dim / 2]
  const int32_t* positions;  // [n]
  int64_t n, width, head_dim, rotary_dim;
};
void RotaryEmbedding(const RotaryArgs& args, ThreadPool& pool);

void GatedActivation(float* out /*[n, m]*/, const float* gate_up /*[n, 2 * m]*/, GatedKind kind, int64_t n, int64_t m, ThreadPool& pool);
void Activation(float* out, const float* x, ActivationKind kind, int64_t count, ThreadPool& pool);

/// How a KV cache keeps its elements: float32, bfloat16, or int8 codes with one float32 scale per slot and head.
enum class KvType : int32_t { kFloat32, kBfloat16, kInt8 };

/// KV cache of one layer.
struct KvLayer {
  KvType type;
  int64_t kv_heads, head_dim;
  void* keys;           // [num_slots, kv_heads, head_dim]
  void* values;         // [num_slots, kv_heads, head_dim]
  float* key_scales;    // [num_slots, kv_heads], of int8 only
  float* value_scales;  // [num_slots, kv_heads], of int8 only
};
/// keys and values [n, kv_heads * head_dim] become the rows of `slots`. bfloat16: rounded to nearest even. int8: scale = max|x| / 127
/// of each head, codes rounded to nearest even; heads below 2^-100 become zeros, one with a NaN or an infinity reads
/// back as NaN.
void KvWrite(const KvLayer& kv, const float* keys, const float* values, const int32_t* slots /*[n]*/, int64_t n);
/// The way back, widened exactly.
void KvRead(const KvLayer& kv, float* keys, float* values, const int32_t* slots /*[n]*/, int64_t n);

struct PagedAttentionArgs {
  float* out;          // [num_tokens, heads * head_dim]
  const float* query;  // [num_tokens, heads * head_dim]
  KvLayer kv;
  const int32_t* query_start_loc;  // [num_seqs + 1]
  const int32_t* seq_lens;         // [num_seqs]
  const int32_t* block_tables;     // [num_seqs, max_blocks_per_seq]
  int64_t num_tokens, num_seqs, max_blocks_per_seq, block_size;
  const int32_t* first_slots;  // [num_seqs] or null: added to a sequence's slots
  int64_t heads, kv_heads, head_dim;
  float scale;
  int64_t sliding_window;  // 0 = none: position i attends j with i - window < j <= i + keys_ahead
  int64_t keys_ahead;      // 0 = causal
  float softcap;           // 0 = none: cap * tanh(score / cap)
  const float* sinks;      // [heads] or null: one more logit in each softmax
};
void PagedAttention(const PagedAttentionArgs& args, ThreadPool& pool);

/// Index of the largest of n values per row, the lowest index among equals.
void ArgmaxRows(int32_t* out /*[rows]*/, const float* x /*[rows, n]*/, int64_t rows, int64_t n, ThreadPool& pool);

}  // namespace octavo
