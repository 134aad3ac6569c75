// The online softmax of attention rows (Milakov and Gimelshein 2018, arXiv:1805.02867), over the vectors of isa/*/vec.h.
// Scores are counted in powers of two: weight = 2^(score * log2(e)) = e^score.
#pragma once

#include <cstdint>
#include <limits>

#include "paged_attention_task.h"
#include "vec_math.h"

namespace octavo {

constexpr float kLog2E = 1.44269504f;

/// What makes a logit, in powers of two, of a raw score.
template <class V>
class ScoreScale {
  using Reg = typename V::Reg;

 public:
  ScoreScale(float scale, float softcap)
      : scale_(scale), softcap_(softcap), is_linear_(softcap <= 0.0f && scale >= 0.0f), factor_(is_linear_ ? scale * kLog2E : 1.0f) {}

  /// The largest logit is that of the largest prepared score: both times this.
  float factor() const { return factor_; }

  /// What must happen to the scores first: nothing where a factor >= 0 does it all.
  void Prepare(float* scores, int64_t begin, int64_t end) const {
    if (is_linear_) return;
    for (int64_t j = begin / V::kWidth * V::kWidth; j < end; j += V::kWidth) {
      Reg score = V::Mul(V::Load(scores + j), V::Set(scale_));
      if (softcap_ > 0.0f) score = V::Mul(Tanh<V>(V::Mul(score, V::Set(1.0f / softcap_))), V::Set(softcap_));
      V::Store(scores + j, V::Mul(score, V::Set(kLog2E)));
    }
  }

 private:
  const float scale_, softcap_;
  const bool is_linear_;
  const float factor_;
};

/// Of each row: the largest logit so far, the sum of the weights 2^(logit - max) and the weighted sum of the values.
template <class V>
struct SoftmaxState {
  using Reg = typename V::Reg;
  static constexpr int kWidth = V::kWidth;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  /// Rows of one step, in whole vectors of any width.
  static constexpr int kStepRows = 16;
  static_assert(V::kTileRows <= kStepRows, "a step has all rows of a tile");

  /// For `kAttentionRows` rows of `stride` sums, whole vectors each, from `memory` on.
  SoftmaxState(float* memory, int64_t stride)
      : sums(memory),
        lanes(sums + kAttentionRows * stride),
        max(lanes + kAttentionRows * kWidth),
        sum(max + kAttentionRows),
        stride(stride) {}

  float* End() const { return sum + kAttentionRows; }

  void Clear(int64_t num_rows) const {
    for (int64_t at = 0; at < num_rows; at++) {
      max[at] = kNothing;
      sum[at] = 0.0f;
    }
    for (int64_t k = 0; k < num_rows * kWidth; k++) lanes[k] = 0.0f;
    for (int64_t k = 0; k < num_rows * stride; k++) sums[k] = 0.0f;
  }

  /// Turns the raw scores of `count` rows, those of the keys begin[i] <= j < end[i] of a tile, into weights, in place,
  /// and adds these to the rows' lanes. Rows of scores are `kAttentionTile` apart. What a row had must come down to its new
  /// maximum: its lanes do here, its sums are left to be multiplied by decays[i], which is 1 where the maximum stays.
  void AddScores(int64_t at, int count, float* scores, const int64_t* begin, const int64_t* end, const ScoreScale<V>& scale,
                 float* decays) const {
    Reg tops[V::kTileRows];
    for (int i = 0; i < V::kTileRows; i++) {
      tops[i] = V::Set(kNothing);
      if (i >= count || begin[i] >= end[i]) continue;
      scale.Prepare(scores + i * kAttentionTile, begin[i], end[i]);
      tops[i] = TopOf(scores + i * kAttentionTile, begin[i], end[i]);
    }
    // The maxima and decays of all rows side by side: one after the other, each would wait for its exponential.
    float larger[kStepRows];
    V::ReduceMaxRows(larger, tops);
    for (int i = 0; i < count; i += kWidth) {
      const int part = count - i < kWidth ? count - i : kWidth;
      const Reg old_max = V::LoadPart(max + at + i, part);
      const Reg new_max = V::Max(V::Mul(V::Load(larger + i), V::Set(scale.factor())), old_max);
      V::Store(larger + i, new_max);
      V::StorePart(max + at + i, new_max, part);
      const Reg decay = PowerOfTwo<V>(V::Sub(old_max, new_max));
      V::Store(decays + i, V::Select(V::Less(old_max, new_max), decay, V::Set(1.0f)));
    }
    const Reg factor = V::Set(scale.factor());
    for (int i = 0; i < count; i++) {
      if (begin[i] >= end[i]) continue;
      float* row_lanes = lanes + (at + i) * kWidth;
      const Reg total = V::Mul(V::Load(row_lanes), V::Set(decays[i]));
      V::Store(row_lanes, Weigh(scores + i * kAttentionTile, begin[i], end[i], factor, V::Set(larger[i]), total));
    }
  }

  /// Behind the last scores of a range: sums up the lanes.
  void Finish(int64_t num_rows) const {
    for (int64_t at = 0; at < num_rows; at++) sum[at] = V::ReduceAdd(V::Load(lanes + at * kWidth));
  }

  /// One more logit without a value.
  void AddSink(int64_t at, float sink) const {
    sink *= kLog2E;
    const float larger = sink > max[at] ? sink : max[at];
    const float decay = PowerOf(max[at] - larger);
    max[at] = larger;
    sum[at] = sum[at] * decay + PowerOf(sink - larger);
    const Reg factor = V::Set(decay);
    float* row = sums + at * stride;
    for (int64_t d = 0; d < stride; d += kWidth) V::Store(row + d, V::Mul(V::Load(row + d), factor));
  }

  /// Adds the result of further keys.
  void Merge(int64_t at, float part_max, float part_sum, const float* part_sums) const {
    const float larger = part_max > max[at] ? part_max : max[at];
    Add(at, larger, part_sum, part_sums, PowerOf(max[at] - larger), PowerOf(part_max - larger));
  }

  /// The same for those of all rows of `part` that `is_seen(at)` says.
  template <class IsSeen>
  void MergeRows(const SoftmaxState& part, int64_t num_rows, const IsSeen& is_seen) const {
    float larger[kWidth], old_decays[kWidth], new_decays[kWidth];
    for (int64_t first = 0; first < num_rows; first += kWidth) {
      const int count = static_cast<int>(num_rows - first < kWidth ? num_rows - first : kWidth);
      const Reg old_max = V::LoadPart(max + first, count);
      const Reg part_max = V::LoadPart(part.max + first, count);
      const Reg new_max = V::Max(part_max, old_max);
      V::Store(larger, new_max);
      V::Store(old_decays, PowerOfTwo<V>(V::Sub(old_max, new_max)));
      V::Store(new_decays, PowerOfTwo<V>(V::Sub(part_max, new_max)));
      for (int i = 0; i < count; i++) {
        const int64_t at = first + i;
        if (is_seen(at)) Add(at, larger[i], part.sum[at], part.sums + at * stride, old_decays[i], new_decays[i]);
      }
    }
  }

  float* const sums;   // [rows, stride]
  float* const lanes;  // [rows, kWidth]: lane j of the sum of weights has the keys j modulo kWidth, until Finish
  float* const max;    // [rows]
  float* const sum;    // [rows]
  const int64_t stride;

 private:
  static float PowerOf(float x) { return V::First(PowerOfTwo<V>(V::Set(x))); }

  /// Lane by lane the largest of the scores begin <= j < end.
  static Reg TopOf(const float* scores, int64_t begin, int64_t end) {
    const Reg nothing = V::Set(kNothing);
    Reg top = nothing;
    if (begin == 0 && end == kAttentionTile) {
      for (int64_t j = 0; j < kAttentionTile; j += kWidth) top = V::Max(V::Load(scores + j), top);
      return top;
    }
    for (int64_t j = begin / kWidth * kWidth; j < end; j += kWidth) {
      top = V::Max(V::Select(V::Lanes(begin - j, end - j), V::Load(scores + j), nothing), top);
    }
    return top;
  }

  /// Prepared scores become weights; returns the sum of `total` and these.
  static Reg Weigh(float* scores, int64_t begin, int64_t end, Reg factor, Reg row_max, Reg total) {
    if (begin == 0 && end == kAttentionTile) {
      for (int64_t j = 0; j < kAttentionTile; j += kWidth) {
        const Reg weight = PowerOfTwo<V>(V::Sub(V::Mul(V::Load(scores + j), factor), row_max));
        V::Store(scores + j, weight);
        total = V::Add(total, weight);
      }
      return total;
    }
    for (int64_t j = begin / kWidth * kWidth; j < end; j += kWidth) {
      const Reg weight = PowerOfTwo<V>(V::Sub(V::Mul(V::Load(scores + j), factor), row_max));
      const Reg seen = V::Select(V::Lanes(begin - j, end - j), weight, V::Zero());
      V::Store(scores + j, seen);
      total = V::Add(total, seen);
    }
    return total;
  }

  void Add(int64_t at, float larger, float part_sum, const float* part_sums, float old_decay, float new_decay) const {
    float* row = sums + at * stride;
    if (max[at] == kNothing && sum[at] == 0.0f) {
      max[at] = larger;
      sum[at] = part_sum;
      for (int64_t d = 0; d < stride; d++) row[d] = part_sums[d];
      return;
    }
    max[at] = larger;
    sum[at] = sum[at] * old_decay + part_sum * new_decay;
    const Reg old_factor = V::Set(old_decay);
    const Reg new_factor = V::Set(new_decay);
    for (int64_t d = 0; d < stride; d += kWidth) {
      V::Store(row + d, V::Fma(V::Load(part_sums + d), new_factor, V::Mul(V::Load(row + d), old_factor)));
    }
  }
};

}  // namespace octavo
