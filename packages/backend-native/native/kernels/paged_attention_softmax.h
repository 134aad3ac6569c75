// The online softmax of attention rows (Milakov and Gimelshein 2018, arXiv:1805.02867), over the vectors of vec_*.h.
#pragma once

#include <cstdint>
#include <limits>

#include "paged_attention_task.h"
#include "vec_math.h"

namespace octavo {

/// Of each row: the largest score so far, the sum of the weights exp(score - max) and the weighted sum of the values.
template <class V>
struct SoftmaxState {
  using Reg = typename V::Reg;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();

  /// For `kAttentionRows` rows of `stride` sums, whole vectors each, from `memory` on.
  SoftmaxState(float* memory, int64_t stride)
      : sums(memory), max(sums + kAttentionRows * stride), sum(max + kAttentionRows), stride(stride) {}

  float* End() const { return sum + kAttentionRows; }

  void Clear(int64_t num_rows) const {
    for (int64_t at = 0; at < num_rows; at++) {
      max[at] = kNothing;
      sum[at] = 0.0f;
    }
    for (int64_t k = 0; k < num_rows * stride; k++) sums[k] = 0.0f;
  }

  /// Turns the raw scores of the keys begin <= j < end of a tile into weights exp(score - max), in place, and adds
  /// these to the row's sum; what the row had is brought down to the new maximum.
  void AddScores(int64_t at, float* scores, int64_t begin, int64_t end, float scale, float softcap) const {
    const int64_t first = begin / V::kWidth * V::kWidth;
    const Reg nothing = V::Set(kNothing);
    Reg top = nothing;
    for (int64_t j = first; j < end; j += V::kWidth) {
      Reg score = V::Mul(V::Load(scores + j), V::Set(scale));
      if (softcap > 0.0f) {
        const Reg capped = Tanh<V>(V::Mul(score, V::Set(1.0f / softcap)));
        score = V::Mul(capped, V::Set(softcap));
      }
      score = V::Select(V::Lanes(begin - j, end - j), score, nothing);
      V::Store(scores + j, score);
      top = V::Max(score, top);
    }
    const float old_max = max[at];
    const float tile_max = V::ReduceMax(top);
    const float new_max = tile_max > old_max ? tile_max : old_max;
    Reg added = V::Zero();
    for (int64_t j = first; j < end; j += V::kWidth) {
      const Reg weight = Exp<V>(V::Sub(V::Load(scores + j), V::Set(new_max)));
      V::Store(scores + j, weight);
      added = V::Add(added, weight);
    }
    if (new_max != old_max) {
      const float decay = ExpOf(old_max - new_max);
      max[at] = new_max;
      sum[at] *= decay;
      Scale(sums + at * stride, decay);
    }
    sum[at] += V::ReduceAdd(added);
  }

  /// One more logit without a value.
  void AddSink(int64_t at, float sink) const {
    const float larger = sink > max[at] ? sink : max[at];
    const float decay = ExpOf(max[at] - larger);
    max[at] = larger;
    sum[at] = sum[at] * decay + ExpOf(sink - larger);
    Scale(sums + at * stride, decay);
  }

  /// Adds the result of further keys.
  void Merge(int64_t at, float part_max, float part_sum, const float* part_sums) const {
    float* row = sums + at * stride;
    if (max[at] == kNothing && sum[at] == 0.0f) {
      max[at] = part_max;
      sum[at] = part_sum;
      for (int64_t d = 0; d < stride; d++) row[d] = part_sums[d];
      return;
    }
    const float larger = part_max > max[at] ? part_max : max[at];
    const float old_decay = ExpOf(max[at] - larger);
    const float new_decay = ExpOf(part_max - larger);
    max[at] = larger;
    sum[at] = sum[at] * old_decay + part_sum * new_decay;
    const Reg old_factor = V::Set(old_decay);
    const Reg new_factor = V::Set(new_decay);
    for (int64_t d = 0; d < stride; d += V::kWidth) {
      V::Store(row + d, V::Fma(V::Load(part_sums + d), new_factor, V::Mul(V::Load(row + d), old_factor)));
    }
  }

  float* const sums;  // [rows, stride]
  float* const max;   // [rows]
  float* const sum;   // [rows]
  const int64_t stride;

 private:
  static float ExpOf(float x) { return V::First(Exp<V>(V::Set(x))); }

  void Scale(float* row, float factor) const {
    const Reg factors = V::Set(factor);
    for (int64_t d = 0; d < stride; d += V::kWidth) V::Store(row + d, V::Mul(V::Load(row + d), factors));
  }
};

}  // namespace octavo
