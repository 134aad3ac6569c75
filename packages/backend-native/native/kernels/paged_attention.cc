// Cuts paged attention into tasks. Where they are cut decides speed only: see paged_attention_kernel.h.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernel_table.h"
#include "ops.h"

namespace octavo {

namespace {

/// Multiply-adds below which waking a thread costs more than it brings.
constexpr int64_t kInlineWork = int64_t{1} << 19;
/// Tasks per thread: enough for an even finish.
constexpr int64_t kTasksPerThread = 4;
/// Rows of a task that are not cut further for the sake of the threads.
constexpr int64_t kFewestRows = 64;
/// Floats of partial results at most; what would need more is not cut into ranges.
constexpr int64_t kMaxPartialFloats = int64_t{1} << 23;

constexpr size_t kLineFloats = 64 / sizeof(float);

/// Vectors of 64 bytes that lie across two cache lines cost two loads.
float* AlignToLine(float* memory) {
  const size_t past = reinterpret_cast<uintptr_t>(memory) / sizeof(float) % kLineFloats;
  return memory + (kLineFloats - past) % kLineFloats;
}

bool IsWorthThreads(const PagedAttentionArgs& args) {
  int64_t work = 0;
  for (int64_t s = 0; s < args.num_seqs; s++) {
    const int64_t num_keys = args.sliding_window > 0 && args.sliding_window < args.seq_lens[s] ? args.sliding_window : args.seq_lens[s];
    work += (args.query_start_loc[s + 1] - args.query_start_loc[s]) * num_keys * args.heads * args.head_dim;
  }
  return work >= kInlineWork;
}

/// Key ranges that the rows of `task` see.
void FindRanges(AttentionTask& task) {
  const PagedAttentionArgs& args = *task.args;
  const int64_t group = args.heads / args.kv_heads;
  const int64_t start = args.query_start_loc[task.sequence];
  const int64_t query_len = args.query_start_loc[task.sequence + 1] - start;
  const int64_t first_position = args.seq_lens[task.sequence] - query_len;
  const int64_t lowest = first_position + task.row_begin / group;
  const int64_t highest = first_position + (task.row_end - 1) / group;
  const int64_t first_key = args.sliding_window > 0 ? lowest - args.sliding_window + 1 : 0;
  task.range_begin = first_key > 0 ? first_key / kAttentionRange : 0;
  const int64_t end_key = std::min(highest + 1 + args.keys_ahead, static_cast<int64_t>(args.seq_lens[task.sequence]));
  task.range_end = (end_key - 1) / kAttentionRange + 1;
}

/// Work of a task in ranges x rows; the keys' own way through memory counts as some more rows.
int64_t Cost(const AttentionTask& task) {
  const int64_t num_rows = task.row_end - task.row_begin;
  return (task.range_end - task.range_begin) * (task.kv_end - task.kv_begin) * (num_rows + 16);
}

/// KV heads of a task: many, because they lie side by side in memory, but no more than leave each thread its tasks
/// when these are cut into ranges too.
int64_t MostHeadsPerTask(const PagedAttentionArgs& args, int num_threads) {
  if (num_threads == 1) return args.kv_heads;
  int64_t num_ranges = 0;
  for (int64_t s = 0; s < args.num_seqs; s++) num_ranges += args.seq_lens[s] / kAttentionRange + 1;
  const int64_t most = num_ranges * args.kv_heads / (num_threads * kTasksPerThread);
  return most > 1 ? most : 1;
}

/// Rows of a task: many, because they share the packed keys and values, but no more than leave each thread its tasks.
int64_t MostRowsPerTask(const PagedAttentionArgs& args, int num_threads) {
  const int64_t wanted = num_threads > 1 ? num_threads * kTasksPerThread : 1;
  int64_t most = kAttentionRows;
  while (most > kFewestRows && args.num_tokens * args.heads / most < wanted) most /= 2;
  return most;
}

/// All rows of all sequences on all KV heads, the longest tasks of a sequence first.
std::vector<AttentionTask> CutRows(const PagedAttentionArgs& args, int num_threads) {
  std::vector<AttentionTask> tasks;
  const int64_t group = args.heads / args.kv_heads;
  const int64_t most_heads = MostHeadsPerTask(args, num_threads);
  const int64_t most_rows = MostRowsPerTask(args, num_threads);
  for (int64_t s = 0; s < args.num_seqs; s++) {
    const int64_t num_rows = (args.query_start_loc[s + 1] - args.query_start_loc[s]) * group;
    const int64_t num_cuts = (num_rows + most_rows - 1) / most_rows;
    for (int64_t cut = num_cuts - 1; cut >= 0; cut--) {
      const int64_t row_begin = cut * most_rows;
      const int64_t row_end = row_begin + most_rows < num_rows ? row_begin + most_rows : num_rows;
      const int64_t fitting_heads = kAttentionRows / (row_end - row_begin);
      const int64_t num_heads = fitting_heads < most_heads ? fitting_heads : most_heads;
      for (int64_t kv = 0; kv < args.kv_heads; kv += num_heads) {
        const int64_t kv_end = kv + num_heads < args.kv_heads ? kv + num_heads : args.kv_heads;
        AttentionTask task{&args, s, kv, kv_end, row_begin, row_end, 0, 0, nullptr, 0, 0};
        FindRanges(task);
        tasks.push_back(task);
      }
    }
  }
  return tasks;
}

/// Into how many tasks of about `target` cost the ranges of `task` are cut.
int64_t CountPieces(const AttentionTask& task, int64_t target) {
  const int64_t num_ranges = task.range_end - task.range_begin;
  const int64_t wanted = (Cost(task) + target - 1) / target;
  return wanted < num_ranges ? wanted : num_ranges;
}

int64_t PartialFloats(const AttentionTask& task) {
  const int64_t num_rows = (task.kv_end - task.kv_begin) * (task.row_end - task.row_begin);
  return num_rows * (task.range_end - task.range_begin) * PartialSize(task.args->head_dim);
}

/// Replaces the tasks that are too long for an even share by tasks of some of their ranges each, which leave partial
/// results. Returns the tasks that merge these.
std::vector<AttentionTask> CutRanges(std::vector<AttentionTask>& tasks, int num_threads, std::unique_ptr<float[]>& partials) {
  int64_t cost = 0;
  for (const AttentionTask& task : tasks) cost += Cost(task);
  const int64_t target = cost / (num_threads * kTasksPerThread) + 1;
  int64_t num_floats = 0;
  for (const AttentionTask& task : tasks) num_floats += CountPieces(task, target) > 1 ? PartialFloats(task) : 0;
  if (num_floats == 0 || num_floats > kMaxPartialFloats) return {};
  partials.reset(new float[static_cast<size_t>(num_floats)]);
  float* next = partials.get();
  std::vector<AttentionTask> merges;
  std::vector<AttentionTask> pieces;
  for (AttentionTask whole : tasks) {
    const int64_t num_pieces = CountPieces(whole, target);
    if (num_pieces > 1) {
      whole.partials = next;
      whole.first_partial_range = whole.range_begin;
      whole.num_partial_ranges = whole.range_end - whole.range_begin;
      next += PartialFloats(whole);
      merges.push_back(whole);
    }
    const int64_t num_ranges = whole.range_end - whole.range_begin;
    for (int64_t i = 0; i < num_pieces; i++) {
      AttentionTask piece = whole;
      piece.range_begin = whole.range_begin + num_ranges * i / num_pieces;
      piece.range_end = whole.range_begin + num_ranges * (i + 1) / num_pieces;
      pieces.push_back(piece);
    }
  }
  tasks.swap(pieces);
  return merges;
}

}  // namespace

void PagedAttention(const PagedAttentionArgs& args, ThreadPool& pool) {
  const auto attend = Kernels().attend;
  const auto merge = Kernels().merge_partials;
  const int num_threads = IsWorthThreads(args) ? pool.num_threads() : 1;
  std::vector<AttentionTask> tasks = CutRows(args, num_threads);
  const size_t scratch_size = static_cast<size_t>(AttentionScratchSize(args.head_dim));
  const std::unique_ptr<float[]> memory(new float[scratch_size * static_cast<size_t>(num_threads) + kLineFloats]);
  float* const scratch = AlignToLine(memory.get());
  if (num_threads == 1) {
    for (const AttentionTask& task : tasks) attend(task, scratch);
    return;
  }
  std::unique_ptr<float[]> partials;
  const std::vector<AttentionTask> merges = CutRanges(tasks, num_threads, partials);
  pool.ParallelFor(static_cast<int64_t>(tasks.size()), [&](int64_t i, int thread) {
    attend(tasks[static_cast<size_t>(i)], scratch + scratch_size * static_cast<size_t>(thread));
  });
  for (const AttentionTask& task : merges) merge(task, scratch);
}

}  // namespace octavo
