// One share of paged attention: online softmax over key tiles, as a template over the vectors of isa/*/vec.h and the stored
// type of the cache.
//
//   range of 256 keys:  tile | tile | tile | tile      online softmax from tile to tile
//   row:                range + range + ... + range    partial results (max, sum, accumulator), merged in this order
//
// INVARIANT: tiles and ranges begin at absolute positions, a partial result starts from nothing, and what a row does not
// see adds nothing, not even a zero. So a row's bits follow from its sequence alone: not from the batch, the chunking of
// the prompt, the threads or who computed which range.
#pragma once

#include <cstdint>

#include "paged_attention_packing.h"
#include "paged_attention_products.h"
#include "paged_attention_rows.h"
#include "paged_attention_softmax.h"
#include "paged_attention_task.h"

namespace octavo {

template <class V, class Rows>
class AttentionRun {
  using Reg = typename V::Reg;
  using Row = CachedRow<Rows>;
  using Element = typename Rows::Element;
  using Packing = AttentionPacking<V, Rows>;
  using Products = AttentionProducts<V, Rows>;
  using PackedProducts = AttentionProducts<V, FloatRows<V>>;
  using State = SoftmaxState<V>;
  static constexpr int kWidth = V::kWidth;
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Element));  // elements of a cache line
  static_assert(kAttentionTile % Products::kSpan == 0, "a tile holds whole spans");

 public:
  AttentionRun(const AttentionTask& task, float* scratch)
      : args_(*task.args),
        task_(task),
        group_(args_.heads / args_.kv_heads),
        num_heads_(task.kv_end - task.kv_begin),
        num_rows_(task.row_end - task.row_begin),
        num_shares_((num_rows_ + V::kTileRows - 1) / V::kTileRows),
        padded_(PaddedHeadDim(args_.head_dim)),
        first_token_(args_.query_start_loc[task.sequence]),
        first_position_(args_.seq_lens[task.sequence] - (args_.query_start_loc[task.sequence + 1] - first_token_)),
        end_key_(Smaller(EndKey(num_rows_ - 1), task.range_end * kAttentionRange)),
        first_slot_(args_.first_slots == nullptr ? 0 : args_.first_slots[task.sequence]),
        block_table_(args_.block_tables + task.sequence * args_.max_blocks_per_seq),
        packs_values_(num_rows_ > 2 * V::kTileRows),
        score_scale_(args_.scale, args_.softcap),
        packed_queries_(scratch),
        packed_keys_(packed_queries_ + kAttentionRows * padded_),
        packed_values_(packed_keys_ + kAttentionTile * padded_),
        scores_(packed_values_ + kAttentionTile * padded_),
        total_(scores_ + State::kStepRows * kAttentionTile, padded_),
        part_(total_.End(), padded_) {
    for (int64_t j = 0; j < kAttentionTile; j++) packed_rows_[j] = {packed_values_ + j * padded_, nullptr};
  }

  void Attend() {
    for (int64_t range = task_.range_begin; range < task_.range_end; range++) {
      const bool is_first = range == task_.range_begin;
      const State& state = is_first && task_.partials == nullptr ? total_ : part_;
      state.Clear(num_heads_ * num_rows_);
      AttendRange(range, state);
      state.Finish(num_heads_ * num_rows_);
      if (task_.partials != nullptr) StorePartials(range);
      else if (!is_first) MergeRange(range);
    }
    if (task_.partials == nullptr) WriteOutput();
  }

  void MergePartials() {
    total_.Clear(num_heads_ * num_rows_);
    for (int64_t at = 0; at < num_heads_ * num_rows_; at++) {
      for (int64_t range = task_.range_begin; range < task_.range_end; range++) {
        const float* partial = PartialAt(at, range);
        if (SeesRange(at % num_rows_, range)) total_.Merge(at, partial[0], partial[1], partial + kPartialHeader);
      }
    }
    WriteOutput();
  }

 private:
  int64_t Position(int64_t r) const { return first_position_ + (task_.row_begin + r) / group_; }
  /// The row sees the keys FirstKey <= j < EndKey.
  int64_t FirstKey(int64_t r) const {
    const int64_t first = args_.sliding_window > 0 ? Position(r) - args_.sliding_window + 1 : 0;
    return first > 0 ? first : 0;
  }
  int64_t EndKey(int64_t r) const { return Smaller(Position(r) + 1 + args_.keys_ahead, args_.seq_lens[task_.sequence]); }
  bool SeesRange(int64_t r, int64_t range) const {
    return FirstKey(r) < (range + 1) * kAttentionRange && EndKey(r) > range * kAttentionRange;
  }
  /// A KV head's rows in shares of almost equal size, at most kTileRows.
  int64_t FirstOfShare(int64_t share) const { return num_rows_ * share / num_shares_; }
  int64_t Head(int64_t kv, int64_t r) const { return (task_.kv_begin + kv) * group_ + (task_.row_begin + r) % group_; }
  int64_t QueryOffset(int64_t kv, int64_t r) const {
    return ((first_token_ + (task_.row_begin + r) / group_) * args_.heads + Head(kv, r)) * args_.head_dim;
  }
  /// `at`: the row's place among those of all KV heads of the task.
  float* PartialAt(int64_t at, int64_t range) const {
    return task_.partials + (at * task_.num_partial_ranges + range - task_.first_partial_range) * PartialSize(args_.head_dim);
  }

  void AttendRange(int64_t range, const State& state) {
    // Rows are in the order of their positions, so the first one has the first key and the last one the last.
    const bool is_first = range == task_.range_begin;
    const int64_t begin = Larger(range * kAttentionRange, FirstKey(0));
    const int64_t end = Smaller((range + 1) * kAttentionRange, EndKey(num_rows_ - 1));
    int64_t tile = begin / kAttentionTile * kAttentionTile;
    FindRows(next_keys_, next_values_, tile, Larger(begin - tile, 0), Smaller(end - tile, kAttentionTile));
    for (; tile < end; tile += kAttentionTile) {
      const int64_t first = Larger(begin, tile) - tile;
      const int64_t last = Smaller(end - tile, kAttentionTile);
      for (int64_t j = first; j < last; j++) {
        keys_[j] = next_keys_[j];
        values_[j] = next_values_[j];
      }
      const int64_t next = tile + kAttentionTile;
      num_next_ = Clamp(Smaller(end_key_ - next, kAttentionTile));
      FindRows(next_keys_, next_values_, next, 0, num_next_);
      PlanPrefetch();
      for (int64_t kv = 0; kv < num_heads_; kv++) {
        Packing::PackKeys(packed_keys_, keys_, kv, first, last, args_.head_dim, [this] { PrefetchNext(); });
        if (packs_values_) Packing::PackValues(packed_values_, padded_, values_, kv, first, last, args_.head_dim);
        for (int64_t share = 0; share < num_shares_; share++) {
          const int64_t r = FirstOfShare(share);
          if (is_first && tile <= begin) {
            PackQueries(kv, share);
            PrefetchRows(args_.query, kv, share + 1);
          }
          if (next >= end_key_ && task_.partials == nullptr) PrefetchRows(args_.out, kv, share);
          AttendTile(tile, kv, r, static_cast<int>(FirstOfShare(share + 1) - r), state);
        }
      }
    }
  }

  void PackQueries(int64_t kv, int64_t share) {
    const int64_t first = FirstOfShare(share);
    const int64_t count = FirstOfShare(share + 1) - first;
    float* to = packed_queries_ + (kv * num_rows_ + first) * padded_;
    for (int64_t i = 0; i < count; i++) Packing::PackQuery(to, args_.query + QueryOffset(kv, first + i), i, count, args_.head_dim);
  }

  /// Asks for a share's rows of `rows`, which is laid out as the query.
  void PrefetchRows(const float* rows, int64_t kv, int64_t share) const {
    if (share == num_shares_) return;
    for (int64_t r = FirstOfShare(share); r < FirstOfShare(share + 1); r++) {
      const float* row = rows + QueryOffset(kv, r);
      for (int64_t d = 0; d < args_.head_dim; d += 16) V::Prefetch(row + d);
    }
  }

  /// Where the cache holds the keys and values of the positions tile + first <= j < tile + last, from the task's
  /// first KV head on.
  void FindRows(Row* keys, Row* values, int64_t tile, int64_t first, int64_t last) const {
    const auto* all_keys = static_cast<const Element*>(args_.kv.keys);
    const auto* all_values = static_cast<const Element*>(args_.kv.values);
    const bool has_scales = args_.kv.key_scales != nullptr;
    for (int64_t j = first; j < last;) {
      const int64_t block = (tile + j) / args_.block_size;
      const int64_t end = Smaller(last, (block + 1) * args_.block_size - tile);
      const int64_t slot = first_slot_ + block_table_[block] * args_.block_size + (tile + j) % args_.block_size;
      int64_t head = slot * args_.kv_heads + task_.kv_begin;
      for (; j < end; j++, head += args_.kv_heads) {
        keys[j] = {all_keys + head * args_.head_dim, has_scales ? args_.kv.key_scales + head : nullptr};
        values[j] = {all_values + head * args_.head_dim, has_scales ? args_.kv.value_scales + head : nullptr};
      }
    }
  }

  /// Plans to ask for the next tile's keys and values in small portions during the work on this one, so that they
  /// come from memory behind it.
  void PlanPrefetch() {
    const int64_t num_blocks = kAttentionTile / kWidth * ((args_.head_dim + kWidth - 1) / kWidth);
    const int64_t num_steps = num_heads_ * (num_blocks * Packing::kSteps + 2 * num_shares_);
    const int64_t num_lines = 2 * num_next_ * ((num_heads_ * args_.head_dim + kLine - 1) / kLine);
    prefetch_step_ = (num_lines + num_steps - 1) / num_steps;
    prefetch_row_ = 0;
    prefetch_column_ = 0;
  }

  void PrefetchNext() {
    for (int64_t line = 0; line < prefetch_step_ && prefetch_row_ < 2 * num_next_; line++) {
      const int64_t j = prefetch_row_ / 2;
      V::Prefetch((prefetch_row_ % 2 == 0 ? next_keys_[j] : next_values_[j]).elements + prefetch_column_);
      prefetch_column_ += kLine;
      if (prefetch_column_ >= num_heads_ * args_.head_dim) {
        prefetch_column_ = 0;
        prefetch_row_++;
      }
    }
  }

  /// Rows r .. r + count of one KV head against one tile.
  void AttendTile(int64_t tile, int64_t kv, int64_t r, int count, const State& state) {
    int64_t begin[V::kTileRows] = {};
    int64_t end[V::kTileRows] = {};
    for (int i = 0; i < count; i++) {
      begin[i] = Clamp(FirstKey(r + i) - tile);
      end[i] = Clamp(EndKey(r + i) - tile);
    }
    if (begin[0] >= end[count - 1]) return;
    PrefetchNext();
    ScoreTile(packed_queries_ + (kv * num_rows_ + r) * padded_, begin[0], end[count - 1], count);
    state.AddScores(kv * num_rows_ + r, count, scores_, begin, end, score_scale_, decays_);
    PrefetchNext();
    // Keys that all rows see go through the product together, those before and behind row by row.
    const int64_t common = begin[count - 1];
    const int64_t common_end = Larger(common, end[0]);
    for (int i = 0; i < count; i++) AddValues(kv, r + i, i, 1, begin[i], Smaller(end[i], common), state);
    AddValues(kv, r, 0, count, common, common_end, state);
    for (int i = 0; i < count; i++) AddValues(kv, r + i, i, 1, Larger(begin[i], common_end), end[i], state);
  }

  void ScoreTile(const float* queries, int64_t begin, int64_t end, int count) {
    constexpr int64_t kSpan = Products::kSpan;
    for (int64_t span = begin / kSpan * kSpan; span < end; span += kSpan) {
      const int64_t first = Larger(begin - span, 0) / kWidth;
      const int64_t last = (Smaller(end - span, kSpan) + kWidth - 1) / kWidth;
      const float* keys = packed_keys_ + span * args_.head_dim + first * kWidth;
      Products::Score(scores_ + span + first * kWidth, queries, keys, args_.head_dim, count, static_cast<int>(last - first));
    }
  }

  /// A row's first keys of the tile also let what it had decay.
  void AddValues(int64_t kv, int64_t r, int score_row, int count, int64_t begin, int64_t end, const State& state) {
    if (begin >= end) return;
    float* sums = state.sums + (kv * num_rows_ + r) * padded_;
    const float* weights = scores_ + score_row * kAttentionTile;
    float* decays = decays_ + score_row;
    if (packs_values_) PackedProducts::AddValues(sums, padded_, decays, weights, packed_rows_, 0, begin, end, args_.head_dim, count);
    else Products::AddValues(sums, padded_, decays, weights, values_, kv, begin, end, args_.head_dim, count);
    for (int i = 0; i < count; i++) decays[i] = 1.0f;
  }

  void MergeRange(int64_t range) const {
    total_.MergeRows(part_, num_heads_ * num_rows_, [&](int64_t at) { return SeesRange(at % num_rows_, range); });
  }

  void StorePartials(int64_t range) const {
    for (int64_t at = 0; at < num_heads_ * num_rows_; at++) {
      float* partial = PartialAt(at, range);
      partial[0] = part_.max[at];
      partial[1] = part_.sum[at];
      for (int64_t d = 0; d < padded_; d++) partial[kPartialHeader + d] = part_.sums[at * padded_ + d];
    }
  }

  void WriteOutput() const {
    for (int64_t kv = 0; kv < num_heads_; kv++) {
      for (int64_t r = 0; r < num_rows_; r++) WriteRow(kv, r, kv * num_rows_ + r);
    }
  }

  void WriteRow(int64_t kv, int64_t r, int64_t at) const {
    if (args_.sinks != nullptr) total_.AddSink(at, args_.sinks[Head(kv, r)]);
    const float* sums = total_.sums + at * padded_;
    const Reg divisor = V::Set(total_.sum[at]);
    float* out = args_.out + QueryOffset(kv, r);
    for (int64_t d = 0; d < args_.head_dim; d += kWidth) {
      const int count = static_cast<int>(Smaller(args_.head_dim - d, kWidth));
      V::StorePart(out + d, V::Div(V::Load(sums + d), divisor), count);
    }
  }

  static int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }
  static int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }
  static int64_t Clamp(int64_t lane) { return Smaller(Larger(lane, 0), kAttentionTile); }

  const PagedAttentionArgs& args_;
  const AttentionTask& task_;
  const int64_t group_;
  const int64_t num_heads_;   // KV heads
  const int64_t num_rows_;    // of each
  const int64_t num_shares_;  // of these
  const int64_t padded_;
  const int64_t first_token_;     // of the sequence, in the batch
  const int64_t first_position_;  // of that token
  const int64_t end_key_;         // behind the last one that any row sees
  const int64_t first_slot_;
  const int32_t* const block_table_;
  const bool packs_values_;  // where several shares read them
  const ScoreScale<V> score_scale_;
  float* const packed_queries_;
  float* const packed_keys_;
  float* const packed_values_;
  float* const scores_;  // [kTileRows, tile]
  const State total_;    // states of [KV heads, rows]
  const State part_;
  float decays_[State::kStepRows];  // of a share: what its sums are yet to be multiplied by
  CachedRow<FloatRows<V>> packed_rows_[kAttentionTile];
  Row keys_[kAttentionTile];
  Row values_[kAttentionTile];
  Row next_keys_[kAttentionTile];
  Row next_values_[kAttentionTile];
  int64_t num_next_;
  int64_t prefetch_step_;                   // lines at a time
  int64_t prefetch_row_, prefetch_column_;  // the next one; keys in even rows, values in odd ones
};

/// The entries of the table: take the run of the cache's type.
template <class V>
struct AttentionKernel {
  static void Attend(const AttentionTask& task, float* scratch) {
    switch (task.args->kv.type) {
      case KvType::kFloat32:
        return AttentionRun<V, FloatRows<V>>(task, scratch).Attend();
      case KvType::kBfloat16:
        return AttentionRun<V, Bfloat16Rows<V>>(task, scratch).Attend();
      case KvType::kInt8:
        return AttentionRun<V, Int8Rows<V>>(task, scratch).Attend();
    }
  }

  /// Reads no cache, so any type's run will do.
  static void MergePartials(const AttentionTask& task, float* scratch) {
    AttentionRun<V, FloatRows<V>>(task, scratch).MergePartials();
  }
};

}  // namespace octavo
