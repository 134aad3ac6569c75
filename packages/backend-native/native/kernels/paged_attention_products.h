// The two matrix products of attention on register tiles of R rows x N vectors.
// THE ORDER: each output element is one chain of multiply-adds, over the head dimension in ascending order for a score,
// over the key positions in ascending order for an output; so the shape of the tile does not change a bit.
#pragma once

#include <cstdint>

#include "paged_attention_rows.h"
#include "paged_attention_task.h"

#if defined(__GNUC__) && !defined(__clang__)
#define OCTAVO_UNROLL _Pragma("GCC unroll 8")
#else
#define OCTAVO_UNROLL
#endif

namespace octavo {

template <class V, class Rows>
struct AttentionProducts {
  using Reg = typename V::Reg;
  static constexpr int kWidth = V::kWidth;
  static constexpr int kSpan = V::kTileVecs * kWidth;

  /// scores[r][lane] = sum over d of queries[r][d] * keys[d][lane], for num_rows x num_vecs vectors of lanes.
  /// queries `[head_dim / kQueryRun, num_rows, kQueryRun]`, keys `[head_dim, kSpan]`, rows of scores `kAttentionTile` apart.
  static void Score(float* scores, const float* queries, const float* keys, int64_t head_dim, int num_rows, int num_vecs) {
    DispatchRows<1>(num_rows, num_vecs, [&](auto rows, auto vecs) {
      ScoreTile<decltype(rows)::value, decltype(vecs)::value>(scores, queries, keys, head_dim);
    });
  }

  /// sums[r][d] = decays[r] * sums[r][d] + sum over keys begin <= j < end of weights[r][j] * values[j][head][d], d < head_dim.
  /// Rows of sums `stride` apart, with room for whole vectors; rows of weights `kAttentionTile` apart.
  static void AddValues(float* sums, int64_t stride, const float* decays, const float* weights, const CachedRow<Rows>* values, int64_t head,
                        int64_t begin, int64_t end, int64_t head_dim, int num_rows) {
    for (int64_t d = 0; d < head_dim; d += kSpan) {
      const int64_t rest = head_dim - d;
      const int num_vecs = static_cast<int>(rest < kSpan ? (rest + kWidth - 1) / kWidth : V::kTileVecs);
      const int last = static_cast<int>(rest < num_vecs * kWidth ? rest - (num_vecs - 1) * kWidth : kWidth);
      DispatchRows<1>(num_rows, num_vecs, [&](auto rows, auto vecs) {
        constexpr int kRows = decltype(rows)::value;
        constexpr int kVecs = decltype(vecs)::value;
        if (last == kWidth) ValueTile<kRows, kVecs, false>(sums + d, stride, decays, weights, values, head, head * head_dim + d, begin, end, kWidth);
        else ValueTile<kRows, kVecs, true>(sums + d, stride, decays, weights, values, head, head * head_dim + d, begin, end, last);
      });
    }
  }

 private:
  template <int kValue>
  struct Constant {
    static constexpr int value = kValue;
  };

  template <int kRows, class Tile>
  static void DispatchRows(int num_rows, int num_vecs, const Tile& tile) {
    if (num_rows == kRows) return DispatchVecs<kRows, 1>(num_vecs, tile);
    if constexpr (kRows < V::kTileRows) DispatchRows<kRows + 1>(num_rows, num_vecs, tile);
  }
  template <int kRows, int kVecs, class Tile>
  static void DispatchVecs(int num_vecs, const Tile& tile) {
    if (num_vecs == kVecs) return tile(Constant<kRows>{}, Constant<kVecs>{});
    if constexpr (kVecs < V::kTileVecs) DispatchVecs<kRows, kVecs + 1>(num_vecs, tile);
  }

  template <int kRows, int kVecs>
  static void ScoreTile(float* scores, const float* queries, const float* keys, int64_t head_dim) {
    Reg sums[kRows][kVecs];
    OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
      OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) sums[r][v] = V::Zero();
    }
    for (int64_t d = 0; d < head_dim; d += kQueryRun, queries += kRows * kQueryRun) {
      const int64_t count = head_dim - d < kQueryRun ? head_dim - d : kQueryRun;
      for (int64_t k = 0; k < count; k++, keys += kSpan) {
        Reg key[kVecs];
        OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) key[v] = V::Load(keys + v * kWidth);
        OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
          const Reg q = V::Set(queries[r * kQueryRun + k]);
          OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) sums[r][v] = V::Fma(q, key[v], sums[r][v]);
        }
      }
    }
    OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
      OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) V::Store(scores + r * kAttentionTile + v * kWidth, sums[r][v]);
    }
  }

  /// kIsPart: of the last vector only the first `last` lanes exist in `values`.
  template <int kRows, int kVecs, bool kIsPart>
  static void ValueTile(float* sums, int64_t stride, const float* decays, const float* weights, const CachedRow<Rows>* values, int64_t head,
                        int64_t offset, int64_t begin, int64_t end, int last) {
    Reg totals[kRows][kVecs];
    OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
      const Reg decay = V::Set(decays[r]);
      OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) totals[r][v] = V::Mul(decay, V::Load(sums + r * stride + v * kWidth));
    }
    for (int64_t j = begin; j < end; j++) {
      const auto* from = values[j].elements + offset;
      const auto scale = Rows::ScaleOf(values[j], head);
      Reg value[kVecs];
      OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) {
        if (kIsPart && v == kVecs - 1) value[v] = Rows::LoadPart(from + v * kWidth, last, scale);
        else value[v] = Rows::Load(from + v * kWidth, scale);
      }
      OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
        const Reg weight = V::Set(weights[r * kAttentionTile + j]);
        OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) totals[r][v] = V::Fma(weight, value[v], totals[r][v]);
      }
    }
    OCTAVO_UNROLL for (int r = 0; r < kRows; r++) {
      OCTAVO_UNROLL for (int v = 0; v < kVecs; v++) V::Store(sums + r * stride + v * kWidth, totals[r][v]);
    }
  }
};

}  // namespace octavo
