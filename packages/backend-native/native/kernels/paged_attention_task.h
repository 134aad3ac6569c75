// What paged_attention.cc hands to the kernels of the instruction sets: one share of the work each.
#pragma once

#include <cstdint>

#include "ops.h"

namespace octavo {

/// Keys of one step of the online softmax, at absolute positions 0, 64, 128, ...
constexpr int64_t kAttentionTile = 64;
/// Keys of one partial result, at absolute positions 0, 256, 512, ...: whoever computes it, it has the same bits.
constexpr int64_t kAttentionRange = 256;
/// Most rows of a task, those of all its KV heads together.
constexpr int64_t kAttentionRows = 256;
/// Elements of a query row that lie together once it is packed.
constexpr int64_t kQueryRun = 16;
/// Floats before a partial result's accumulator: its maximum and its sum.
constexpr int64_t kPartialHeader = 16;

/// Rows of one sequence on the KV heads kv_begin <= head < kv_end against the key ranges range_begin <= range < range_end.
/// A row is a query token with one of the heads that share the KV head: row = token * group + head of the group.
struct AttentionTask {
  const PagedAttentionArgs* args;
  int64_t sequence;
  int64_t kv_begin, kv_end;
  int64_t row_begin, row_end;
  int64_t range_begin, range_end;
  /// Null: the task has all ranges that its rows see, and writes the output. Else it leaves a partial result of each
  /// row and range, [KV heads, rows, num_partial_ranges] from range `first_partial_range`, for `MergePartials`.
  float* partials;
  int64_t first_partial_range, num_partial_ranges;
};

inline int64_t PaddedHeadDim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }
inline int64_t PartialSize(int64_t head_dim) { return kPartialHeader + PaddedHeadDim(head_dim); }

/// Floats that a task may write in its scratch: packed queries, keys and values, scores, two sets of accumulators
/// with their maxima and sums.
inline int64_t AttentionScratchSize(int64_t head_dim) {
  const int64_t padded = PaddedHeadDim(head_dim);
  return kAttentionRows * padded + 2 * kAttentionTile * padded + 16 * kAttentionTile + 2 * kAttentionRows * (padded + 16 + 2);
}

}  // namespace octavo
