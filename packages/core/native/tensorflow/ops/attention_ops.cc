// Fused ops of TensorFlow on CPUs: what reads and writes the paged KV cache, two resource variables [slots * kv_heads,
// head_dim] in float32 or bfloat16, where they lie. Their last slot is not for tokens: it stays zero.
#include <algorithm>
#include <cstring>
#include <vector>

#include "invalid_argument.h"
#include "kernels.h"
#include "parallel.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace octavo {
namespace {

namespace tf = tensorflow;
using Variable = tf::core::RefCountPtr<tf::Var>;

const float* Floats(const tf::Tensor& tensor) { return static_cast<const float*>(tensor.data()); }
const int32_t* Ints(const tf::Tensor& tensor) { return static_cast<const int32_t*>(tensor.data()); }

bool IsCache(const tf::Tensor& cache, int64_t head_dim, int64_t width) {
  return (cache.dtype() == tf::DT_FLOAT || cache.dtype() == tf::DT_BFLOAT16) && cache.dims() == 2 && width > 0 &&
         (head_dim == 0 || cache.dim_size(1) == head_dim) && cache.NumElements() % width == 0 && cache.NumElements() > 0;
}

/** Rounds to the nearest, ties to even, as TensorFlow's Cast. */
uint16_t ToBfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (value != value) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// keys, values (resources), new_keys, new_values [n, kv_heads * head_dim], slots [n]
class KvWriteOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const tf::Tensor& slots = context->input(4);
    for (int i = 0; i < 2; i++) {
      const tf::Tensor& rows = context->input(2 + i);
      OP_REQUIRES(context, rows.dims() == 2 && rows.dim_size(0) == slots.NumElements(),
                  InvalidArgument(slots.NumElements(), " slots for rows ", rows.shape().DebugString()));
      Variable variable;
      OP_REQUIRES_OK(context, tf::LookupResource(context, tf::HandleFromInput(context, i), &variable));
      OP_REQUIRES_OK(context, Write(variable.get(), rows, slots));
    }
  }

 private:
  static absl::Status Write(tf::Var* variable, const tf::Tensor& rows, const tf::Tensor& slots) {
    const tf::mutex_lock lock(*variable->mu());
    // From now on, who reads the variable gets a copy.
    variable->copy_on_read_mode.store(true);
    tf::Tensor* cache = variable->tensor();
    const int64_t width = rows.dim_size(1);
    if (!IsCache(*cache, 0, width))
      return InvalidArgument("rows ", rows.shape().DebugString(), " for a cache ", cache->shape().DebugString());
    if (!cache->RefCountIsOne()) return absl::FailedPreconditionError("the cache is read as a whole elsewhere");
    const int64_t num_slots = cache->NumElements() / width - 1;
    const int32_t* at = Ints(slots);
    for (int64_t i = 0; i < slots.NumElements(); i++)
      if (at[i] < 0 || at[i] >= num_slots) return InvalidArgument("slot ", at[i], " of ", num_slots);
    for (int64_t i = 0; i < slots.NumElements(); i++) {
      const float* row = Floats(rows) + i * width;
      if (cache->dtype() == tf::DT_FLOAT) {
        std::memcpy(static_cast<float*>(cache->data()) + at[i] * width, row, width * sizeof(float));
      } else {
        std::transform(row, row + width, static_cast<uint16_t*>(cache->data()) + at[i] * width, ToBfloat16);
      }
    }
    return absl::OkStatus();
  }
};

/** The integers of a step: seven numbers, then query_start_loc [num_seqs + 1], seq_lens [num_seqs] and block tables. */
struct Plan {
  int64_t num_heads, num_kv_heads, head_dim, block_size, sliding_window, num_seqs, max_blocks;
  const int32_t* query_start;
  const int32_t* seq_lens;
  const int32_t* blocks;  // [num_seqs, max_blocks]
};

absl::Status ReadPlan(const tf::Tensor& tensor, Plan* plan) {
  constexpr int64_t kNumbers = 7;
  const int64_t size = tensor.NumElements();
  if (size < kNumbers) return InvalidArgument("a plan of ", size, " integers");
  const int32_t* p = Ints(tensor);
  *plan = {p[0], p[1], p[2], p[3], p[4], p[5], p[6], nullptr, nullptr, nullptr};
  if (plan->num_kv_heads <= 0 || plan->num_heads <= 0 || plan->num_heads % plan->num_kv_heads != 0)
    return InvalidArgument(plan->num_heads, " heads for ", plan->num_kv_heads, " of keys");
  if (plan->head_dim <= 0 || plan->head_dim > kMaxHeadDim || plan->block_size <= 0 || plan->sliding_window < 0)
    return InvalidArgument("heads of ", plan->head_dim, ", blocks of ", plan->block_size);
  if (plan->num_seqs < 0 || plan->max_blocks < 0 ||
      size != kNumbers + 1 + plan->num_seqs * (2 + plan->max_blocks))
    return InvalidArgument("a plan of ", size, " integers for ", plan->num_seqs, " sequences");
  plan->query_start = p + kNumbers;
  plan->seq_lens = plan->query_start + plan->num_seqs + 1;
  plan->blocks = plan->seq_lens + plan->num_seqs;
  return absl::OkStatus();
}

/** Nothing outside the batch and the cache is read. */
absl::Status CheckPlan(const Plan& plan, int64_t num_tokens, int64_t num_blocks) {
  if (plan.query_start[0] != 0 || plan.query_start[plan.num_seqs] != num_tokens)
    return InvalidArgument("query rows of sequences do not cover ", num_tokens, " tokens");
  for (int64_t s = 0; s < plan.num_seqs; s++) {
    const int64_t rows = plan.query_start[s + 1] - static_cast<int64_t>(plan.query_start[s]), length = plan.seq_lens[s];
    if (rows < 0 || rows > length || length > plan.max_blocks * plan.block_size)
      return InvalidArgument("sequence ", s, " of ", length, " tokens with ", rows, " rows and ", plan.max_blocks, " blocks");
    for (int64_t b = 0; b * plan.block_size < length; b++) {
      const int32_t block = plan.blocks[s * plan.max_blocks + b];
      if (block < 0 || block >= num_blocks) return InvalidArgument("block ", block, " of ", num_blocks);
    }
  }
  return absl::OkStatus();
}

/** Pieces of sequences, those with the longest contexts first, by heads where there are few of them. */
std::vector<AttentionItem> CutItems(const Plan& plan, int64_t num_threads, int64_t* max_rows, int64_t* max_heads) {
  constexpr int64_t kQueries = 48, kStateFloats = 64 * 1024;
  const int64_t shared = plan.num_heads / plan.num_kv_heads;
  const int64_t step = std::max<int64_t>(1, kQueries / shared);
  std::vector<AttentionItem> pieces;
  *max_rows = 1;
  for (int64_t s = 0; s < plan.num_seqs; s++) {
    const int64_t start = plan.query_start[s], rows = plan.query_start[s + 1] - start;
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t count = std::min(step, rows - row);
      *max_rows = std::max(*max_rows, count);
      pieces.push_back({plan.blocks + s * plan.max_blocks, start + row, count, plan.seq_lens[s] - rows + row, 0, 0});
    }
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const AttentionItem& a, const AttentionItem& b) { return a.position > b.position; });
  const int64_t per_head = *max_rows * shared * 2 * plan.head_dim;
  const int64_t fitting = std::max<int64_t>(1, kStateFloats / per_head);
  const int64_t num_pieces = static_cast<int64_t>(pieces.size());
  const int64_t groups = std::max<int64_t>(1, 4 * num_threads / std::max<int64_t>(1, num_pieces));
  *max_heads = std::max<int64_t>(1, std::min({plan.num_kv_heads, fitting, plan.num_kv_heads / groups}));
  std::vector<AttentionItem> items;
  for (AttentionItem piece : pieces) {
    for (int64_t head = 0; head < plan.num_kv_heads; head += *max_heads) {
      piece.first_kv_head = head;
      piece.num_kv_heads = std::min(*max_heads, plan.num_kv_heads - head);
      items.push_back(piece);
    }
  }
  return items;
}

// query [n, heads * head_dim], keys, values (resources), plan, factors [2]: scale and softcap (0: none), sinks [heads]
class PagedAttentionOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const tf::Tensor& query = context->input(0);
    const bool has_sinks = context->num_inputs() == 6;
    Plan plan;
    OP_REQUIRES_OK(context, ReadPlan(context->input(3), &plan));
    OP_REQUIRES(context, query.dims() == 2 && query.dim_size(1) == plan.num_heads * plan.head_dim,
                InvalidArgument("query ", query.shape().DebugString(), " for ", plan.num_heads, " heads of ", plan.head_dim));
    OP_REQUIRES(context, context->input(4).NumElements() == 2, InvalidArgument("factors are scale and softcap"));
    OP_REQUIRES(context, !has_sinks || context->input(5).NumElements() == plan.num_heads,
                InvalidArgument("there are as many sinks as heads"));
    Variable keys, values;
    OP_REQUIRES_OK(context, tf::LookupResource(context, tf::HandleFromInput(context, 1), &keys));
    OP_REQUIRES_OK(context, tf::LookupResource(context, tf::HandleFromInput(context, 2), &values));
    OP_REQUIRES(context, keys.get() != values.get(), InvalidArgument("keys and values are one variable"));
    const tf::tf_shared_lock keys_lock(*keys->mu());
    const tf::tf_shared_lock values_lock(*values->mu());
    const int64_t width = plan.num_kv_heads * plan.head_dim;
    for (tf::Tensor* cache : {keys->tensor(), values->tensor()}) {
      OP_REQUIRES(context, IsCache(*cache, plan.head_dim, width) && cache->dtype() == keys->tensor()->dtype(),
                  InvalidArgument("a cache ", cache->shape().DebugString(), " for ", plan.num_kv_heads, " heads"));
      OP_REQUIRES_OK(context, CheckPlan(plan, query.dim_size(0), cache->NumElements() / width / plan.block_size));
    }
    tf::Tensor* out = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, query.shape(), &out));
    const float* factors = Floats(context->input(4));
    const Attention attention = {Floats(query), keys->tensor()->data(), values->tensor()->data(),
                                 has_sinks ? Floats(context->input(5)) : nullptr, static_cast<float*>(out->data()),
                                 plan.num_heads, plan.num_kv_heads, plan.head_dim, plan.block_size, plan.sliding_window,
                                 factors[0], factors[1]};
    Attend(context, attention, plan, keys->tensor()->dtype() == tf::DT_BFLOAT16);
  }

 private:
  static void Attend(tf::OpKernelContext* context, const Attention& attention, const Plan& plan, bool is_bf16) {
    int64_t max_rows = 0, max_heads = 0;
    const std::vector<AttentionItem> items = CutItems(plan, NumThreads(context), &max_rows, &max_heads);
    // Rounded up to whole cache lines, so that threads share none.
    const int64_t floats = (BestKernels().attention_scratch(attention, max_rows, max_heads) + 63) / 64 * 64;
    tf::Tensor scratch;
    const tf::TensorShape shape({NumThreads(context) * floats});
    OP_REQUIRES_OK(context, context->allocate_temp(tf::DT_FLOAT, shape, &scratch));
    float* memory = static_cast<float*>(scratch.data());
    const auto kernel = is_bf16 ? BestKernels().attend_bf16 : BestKernels().attend;
    ParallelFor(context, static_cast<int64_t>(items.size()),
                [&](int64_t item, int64_t worker) { kernel(attention, items[item], memory + worker * floats); });
  }
};

}  // namespace

using tensorflow::shape_inference::UnknownShape;

REGISTER_OP("OctavoKvWrite")
    .Input("keys: resource")
    .Input("values: resource")
    .Input("new_keys: float")
    .Input("new_values: float")
    .Input("slots: int32")
    .SetIsStateful()
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoPagedAttention")
    .Input("query: float")
    .Input("keys: resource")
    .Input("values: resource")
    .Input("plan: int32")
    .Input("factors: float")
    .Output("out: float")
    .SetIsStateful()
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoPagedAttentionSinks")
    .Input("query: float")
    .Input("keys: resource")
    .Input("values: resource")
    .Input("plan: int32")
    .Input("factors: float")
    .Input("sinks: float")
    .Output("out: float")
    .SetIsStateful()
    .SetShapeFn(UnknownShape);

REGISTER_KERNEL_BUILDER(Name("OctavoKvWrite").Device(tf::DEVICE_CPU), KvWriteOp);
REGISTER_KERNEL_BUILDER(Name("OctavoPagedAttention").Device(tf::DEVICE_CPU), PagedAttentionOp);
REGISTER_KERNEL_BUILDER(Name("OctavoPagedAttentionSinks").Device(tf::DEVICE_CPU), PagedAttentionOp);

}  // namespace octavo
