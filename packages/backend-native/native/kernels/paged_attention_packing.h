// The copies that attention computes from: laid out for its products, cut off from the cache's layout and type.
#pragma once

#include <cstdint>

#include "paged_attention_products.h"
#include "paged_attention_rows.h"
#include "paged_attention_task.h"

namespace octavo {

template <class V, class Rows>
class AttentionPacking {
  using Reg = typename V::Reg;
  using Row = CachedRow<Rows>;
  static constexpr int kWidth = V::kWidth;
  static constexpr int64_t kSpan = AttentionProducts<V, Rows>::kSpan;
  static constexpr int kRowsPerStep = 4;
  static_assert(kWidth % kRowsPerStep == 0 && kQueryRun % kWidth == 0, "whole steps, whole vectors");

 public:
  /// Calls of `step` for a transposed block of kWidth keys.
  static constexpr int kSteps = kWidth / kRowsPerStep;

  /// packed `[head_dim / run, count, run]` for `Score`: row i of `count` queries, so that one pointer serves them all.
  static void PackQuery(float* packed, const float* query, int64_t i, int64_t count, int64_t head_dim) {
    for (int64_t d = 0; d < head_dim; d += kWidth) {
      V::Store(packed + (d / kQueryRun * count + i) * kQueryRun + d % kQueryRun, V::LoadPart(query + d, PartOf(head_dim - d)));
    }
  }

  /// packed `[tile / span, head_dim, span]`: the keys first <= j < last of a tile with positions in the lanes, zeros where
  /// there is none. Calls step() a few times per block: to ask for memory, in portions that do not hold up the work.
  template <class Step>
  static void PackKeys(float* packed, const Row* keys, int64_t head, int64_t first, int64_t last, int64_t head_dim, const Step& step) {
    const int64_t offset = head * head_dim;
    for (int64_t j = first / kWidth * kWidth; j < last; j += kWidth) {
      float* to = packed + j / kSpan * kSpan * head_dim + j % kSpan;
      const bool is_whole = j >= first && j + kWidth <= last;
      int64_t d = 0;
      if (is_whole) {
        for (; d + kWidth <= head_dim; d += kWidth) {
          Reg rows[kWidth];
          for (int i = 0; i < kWidth; i++) {
            if (i % kRowsPerStep == 0) step();
            const Row& key = keys[j + i];
            rows[i] = Rows::Load(key.elements + offset + d, Rows::ScaleOf(key, head));
          }
          V::Transpose(rows);
          for (int i = 0; i < kWidth; i++) V::Store(to + (d + i) * kSpan, rows[i]);
        }
      }
      for (; d < head_dim; d += kWidth) {
        const int count = PartOf(head_dim - d);
        Reg rows[kWidth];
        for (int i = 0; i < kWidth; i++) {
          const Row& key = keys[j + i];
          const bool is_there = j + i >= first && j + i < last;
          rows[i] = is_there ? Rows::LoadPart(key.elements + offset + d, count, Rows::ScaleOf(key, head)) : V::Zero();
        }
        V::Transpose(rows);
        for (int i = 0; i < count; i++) V::Store(to + (d + i) * kSpan, rows[i]);
      }
    }
  }

  /// packed `[tile, stride]`: the values first <= j < last, widened once for all rows, and on other lines of the
  /// first-level cache than each other, which they are not where positions lie a power of two apart.
  static void PackValues(float* packed, int64_t stride, const Row* values, int64_t head, int64_t first, int64_t last, int64_t head_dim) {
    for (int64_t j = first; j < last; j++) {
      const auto scale = Rows::ScaleOf(values[j], head);
      const auto* from = values[j].elements + head * head_dim;
      for (int64_t d = 0; d < head_dim; d += kWidth) {
        V::Store(packed + j * stride + d, Rows::LoadPart(from + d, PartOf(head_dim - d), scale));
      }
    }
  }

 private:
  static int PartOf(int64_t rest) { return rest < kWidth ? static_cast<int>(rest) : kWidth; }
};

}  // namespace octavo
