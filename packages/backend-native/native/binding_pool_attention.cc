// Pool.pagedAttention.
#include <vector>

#include "binding.h"
#include "binding_kv.h"
#include "binding_pool.h"
#include "kernels/ops.h"

namespace octavo {
namespace {

/// The kernel follows these tables into the cache's memory.
void CheckBatch(const Napi::Env& env, const PagedAttentionArgs& args, int64_t num_slots) {
  const int64_t num_blocks = num_slots / args.block_size;
  int64_t start = args.query_start_loc[0];
  if (start != 0) ThrowRange(env, "queryStartLoc must begin with 0");
  for (int64_t s = 0; s < args.num_seqs; s++) {
    const int64_t end = args.query_start_loc[s + 1];
    const int64_t seq_len = args.seq_lens[s];
    if (end < start || seq_len < end - start) ThrowRange(env, "queryStartLoc and seqLens do not fit each other");
    start = end;
    const int64_t blocks = (seq_len + args.block_size - 1) / args.block_size;
    if (blocks > args.max_blocks_per_seq) ThrowRange(env, "a sequence is longer than its block table");
    for (int64_t b = 0; b < blocks; b++) {
      const int32_t block = args.block_tables[s * args.max_blocks_per_seq + b];
      if (block < 0 || block >= num_blocks) {
        ThrowRange(env, "block " + std::to_string(block) + " is outside [0, " + std::to_string(num_blocks) + ")");
      }
    }
  }
  if (start != args.num_tokens) ThrowRange(env, "queryStartLoc must end with the number of tokens");
}

/// Of the keys of attention without a cache, whose sequences begin at first_slots.
std::vector<int32_t> SequenceLengths(const Napi::Env& env, const PagedAttentionArgs& args, bool needs_positions) {
  std::vector<int32_t> lengths(static_cast<size_t>(args.num_seqs));
  const int32_t *queries = args.query_start_loc, *keys = args.first_slots;
  if (queries[0] != 0 || keys[0] != 0) ThrowRange(env, "queryStartLoc and keyStartLoc must begin with 0");
  for (int64_t s = 0; s < args.num_seqs; s++) {
    if (queries[s + 1] < queries[s] || keys[s + 1] < keys[s]) ThrowRange(env, "queryStartLoc and keyStartLoc must ascend");
    const int32_t num_queries = queries[s + 1] - queries[s], num_keys = keys[s + 1] - keys[s];
    const int32_t fewest = num_queries == 0 ? 0 : needs_positions ? num_queries : 1;
    if (num_keys < fewest) ThrowRange(env, "a sequence has " + std::to_string(num_queries) + " queries and " + std::to_string(num_keys) + " keys");
    lengths[static_cast<size_t>(s)] = num_keys;
  }
  return lengths;
}

}  // namespace

/// pagedAttention(kv, layer, out[numTokens, heads * headDim], query[numTokens, heads * headDim],
///   queryStartLoc[numSeqs + 1], seqLens[numSeqs], blockTables[numSeqs, maxBlocksPerSeq], blockSize,
///   numTokens, heads, headDim, scale, slidingWindow (0 = none), softcap (0 = none), sinks[heads] | null)
void PoolObject::PagedAttention(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  const KvMemory& memory = arguments.Object<KvObject>(0, "kv", env.GetInstanceData<AddonData>()->kv_class).Live(env);
  PagedAttentionArgs args;
  args.kv = memory.Layer(arguments.Integer(1, "layer", 0, memory.num_layers - 1));
  args.block_size = arguments.Integer(7, "blockSize", 1, memory.num_slots);
  args.num_tokens = arguments.Integer(8, "numTokens", 0, INT32_MAX);
  args.heads = arguments.Integer(9, "heads", 1, 1 << 20);
  args.head_dim = arguments.Integer(10, "headDim", memory.head_dim, memory.head_dim);
  args.kv_heads = memory.kv_heads;
  if (args.heads > kMaxCount / args.head_dim) ThrowRange(env, "a row of queries is longer than any array");
  if (args.heads % args.kv_heads != 0) {
    ThrowRange(env, "the heads do not share the cache's heads evenly");
  }
  args.out = arguments.Floats(2, "out", args.num_tokens * args.heads * args.head_dim);
  args.query = arguments.Floats(3, "query", args.num_tokens * args.heads * args.head_dim);
  args.num_seqs = arguments.Length(5, "seqLens");
  args.query_start_loc = arguments.Integers(4, "queryStartLoc", args.num_seqs + 1);
  args.seq_lens = arguments.Integers(5, "seqLens", args.num_seqs);
  const int64_t table_length = arguments.Length(6, "blockTables");
  args.block_tables = arguments.Integers(6, "blockTables", table_length);
  args.max_blocks_per_seq = args.num_seqs == 0 ? 0 : table_length / args.num_seqs;
  args.scale = arguments.Float(11, "scale");
  args.sliding_window = arguments.Integer(12, "slidingWindow", 0, INT32_MAX);
  args.softcap = arguments.Float(13, "softcap", 0.0f);
  args.first_slots = nullptr;
  args.keys_ahead = 0;
  args.sinks = arguments.OptionalFloats(14, "sinks", args.heads);
  CheckBatch(env, args, memory.num_slots);
  if (args.num_tokens > 0) octavo::PagedAttention(args, Live(env));
}

/// attention(out[numTokens, heads * headDim], query[numTokens, heads * headDim], key[numKeys, kvHeads * headDim], value as key,
///   queryStartLoc[numSeqs + 1], keyStartLoc[numSeqs + 1], heads, kvHeads, headDim, scale, isCausal, slidingWindow (0 = none),
///   softcap (0 = none), sinks[heads] | null): the kernel of pagedAttention over keys and values that lie together.
void PoolObject::Attention(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  PagedAttentionArgs args;
  args.heads = arguments.Integer(6, "heads", 1, 1 << 20);
  args.kv_heads = arguments.Integer(7, "kvHeads", 1, args.heads);
  args.head_dim = arguments.Integer(8, "headDim", 1, kMaxCount / args.heads);
  if (args.heads % args.kv_heads != 0) ThrowRange(env, "the heads do not share the keys' heads evenly");
  args.num_seqs = arguments.Length(4, "queryStartLoc") - 1;
  if (args.num_seqs < 0) ThrowRange(env, "queryStartLoc must begin with 0");
  args.query_start_loc = arguments.Integers(4, "queryStartLoc", args.num_seqs + 1);
  args.first_slots = arguments.Integers(5, "keyStartLoc", args.num_seqs + 1);
  const bool is_causal = arguments.Boolean(10, "isCausal");
  args.sliding_window = arguments.Integer(11, "slidingWindow", 0, INT32_MAX);
  args.keys_ahead = is_causal ? 0 : args.sliding_window > 0 ? args.sliding_window - 1 : INT32_MAX;
  const std::vector<int32_t> seq_lens = SequenceLengths(env, args, is_causal || args.sliding_window > 0);
  args.num_tokens = args.query_start_loc[args.num_seqs];
  const int64_t num_keys = args.first_slots[args.num_seqs];
  const int64_t width = args.heads * args.head_dim, kv_width = args.kv_heads * args.head_dim;
  args.out = arguments.Floats(0, "out", args.num_tokens * width);
  args.query = arguments.Floats(1, "query", args.num_tokens * width);
  float* keys = arguments.Floats(2, "key", num_keys * kv_width);
  float* values = arguments.Floats(3, "value", num_keys * kv_width);
  args.kv = {KvType::kFloat32, args.kv_heads, args.head_dim, keys, values, nullptr, nullptr};
  // One block holds all, for all sequences.
  constexpr int32_t kFirstBlock = 0;
  args.block_tables = &kFirstBlock;
  args.max_blocks_per_seq = 0;
  args.block_size = INT32_MAX;
  args.seq_lens = seq_lens.data();
  args.scale = arguments.Float(9, "scale");
  args.softcap = arguments.Float(12, "softcap", 0.0f);
  args.sinks = arguments.OptionalFloats(13, "sinks", args.heads);
  ThreadPool& pool = Live(env);
  if (args.num_tokens > 0) octavo::PagedAttention(args, pool);
}

}  // namespace octavo
