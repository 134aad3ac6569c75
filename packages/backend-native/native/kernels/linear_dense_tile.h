// The tile kernels of dense weights, over a vector type that each instruction set brings.
// Included only by isa/<isa>/linear_dense.h, each with a Vector of its own in an unnamed namespace: instances never mix.
//
// A Vector is { using Type; kLanes, kMaxWidth;
//   Zero(), Set(float), Load(const float*), Store(float*, Type), Add(a, b), MulAdd(a, b, c) = a * b + c,
//   LoadHalf(const uint16_t*), LoadBfloat16Even(const uint16_t*), LoadBfloat16Odd(const uint16_t*) }.
#pragma once

#include "linear_dense.h"

namespace octavo {

/// Weights that lie one k after the other.
template <typename V, int kVectors, typename Element>
struct PlainWeights {
  static constexpr int kStep = 1;
  static constexpr int kPanel = kVectors * V::kLanes;
  static constexpr int kBytesPerK = kPanel * sizeof(Element);
  static typename V::Type Load(const float* at) { return V::Load(at); }
  static typename V::Type Load(const uint16_t* at) { return V::LoadHalf(at); }
  static typename V::Type Load(const void* weights, int64_t k, int /*odd*/, int vector) {
    return Load(static_cast<const Element*>(weights) + k * kPanel + vector * V::kLanes);
  }
};

/// Bfloat16 in pairs of k.
template <typename V, int kVectors>
struct PairedWeights {
  static constexpr int kStep = 2;
  static constexpr int kPanel = kVectors * V::kLanes;
  static constexpr int kBytesPerK = kPanel * sizeof(uint16_t);
  static typename V::Type Load(const void* weights, int64_t k, int odd, int vector) {
    const uint16_t* at = static_cast<const uint16_t*>(weights) + k * kPanel + vector * 2 * V::kLanes;
    return odd ? V::LoadBfloat16Odd(at) : V::LoadBfloat16Even(at);
  }
};

/// To L2 only: prefetches to L1 would take the few line buffers that the loads themselves need.
template <typename Weights>
inline void PrefetchStep(const char* at) {
#pragma GCC unroll 8
  for (int line = 0; line < Weights::kStep * Weights::kBytesPerK; line += 64) __builtin_prefetch(at + line, 0, 2);
}

template <typename V, int kVectors, int kWidth, typename Weights>
inline void AddProducts(typename V::Type (&sums)[kWidth][kVectors], const DenseTile& tile, int64_t k, int odd) {
  typename V::Type weights[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) weights[v] = Weights::Load(tile.weights, k, odd, v);
  const float* x = tile.x + (k + odd) * kWidth;
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++) {
    const typename V::Type value = V::Set(x[i]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) sums[i][v] = V::MulAdd(weights[v], value, sums[i][v]);
  }
}

/// The last panel's rows; kept out of line, because each tile would otherwise carry a copy per vector.
template <typename V>
__attribute__((noinline)) void FinishSome(const DenseTile& tile, const float* lanes, float* y, int64_t first_row) {
  for (int64_t row = first_row; row < tile.num_rows; row++) {
    float value = lanes[row - first_row];
    if (!tile.is_first) value = y[row] + value;
    if (tile.bias != nullptr) value += tile.bias[row];
    y[row] = value;
  }
}

template <typename V>
inline void FinishVector(const DenseTile& tile, typename V::Type sum, float* y, int64_t first_row) {
  if (tile.num_rows - first_row < V::kLanes) {
    float lanes[V::kLanes];
    V::Store(lanes, sum);
    return FinishSome<V>(tile, lanes, y, first_row);
  }
  if (!tile.is_first) sum = V::Add(V::Load(y + first_row), sum);
  if (tile.bias != nullptr) sum = V::Add(sum, V::Load(tile.bias + first_row));
  V::Store(y + first_row, sum);
}

template <typename V, int kVectors, int kWidth, typename Weights>
void RunTile(const DenseTile& tile) {
  typename V::Type sums[kWidth][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) sums[i][v] = V::Zero();
  }
  // The sums' way back: rows of y lie far apart, and a store that waits for its line would hold up the next tile.
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++) {
    for (int lane = 0; lane < Weights::kPanel; lane += 16) __builtin_prefetch(tile.y + i * tile.y_stride + lane, 1, 3);
  }
  int64_t k = 0;
  const char* ahead = static_cast<const char*>(tile.weights) + tile.ahead;
  for (; k + Weights::kStep <= tile.num_k; k += Weights::kStep) {
    if (tile.ahead != 0) PrefetchStep<Weights>(ahead + k * Weights::kBytesPerK);
    AddProducts<V, kVectors, kWidth, Weights>(sums, tile, k, 0);
    if (Weights::kStep == 2) AddProducts<V, kVectors, kWidth, Weights>(sums, tile, k, 1);
  }
  // The last k of an odd block: its pair's other half is padding and must not meet an activation (0 * inf).
  if (k < tile.num_k) AddProducts<V, kVectors, kWidth, Weights>(sums, tile, k, 0);
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) FinishVector<V>(tile, sums[i][v], tile.y + i * tile.y_stride, v * V::kLanes);
  }
}

template <typename V, int kVectors, typename Weights>
void WidenBlock(float* out, const void* weights, int64_t num_k) {
  constexpr int kPanel = kVectors * V::kLanes;
  for (int64_t k = 0; k < num_k; k++) {
    const int odd = static_cast<int>(k % Weights::kStep);
    for (int v = 0; v < kVectors; v++) {
      V::Store(out + k * kPanel + v * V::kLanes, Weights::Load(weights, k - odd, odd, v));
    }
  }
}

template <typename V, int kVectors, typename Weights, int kWidth = V::kMaxWidth>
void FillTiles(void (*(&tiles)[kMaxTileWidth])(const DenseTile&)) {
  tiles[kWidth - 1] = RunTile<V, kVectors, kWidth, Weights>;
  if constexpr (kWidth > 1) FillTiles<V, kVectors, Weights, kWidth - 1>(tiles);
}

/// The table of one instruction set: panels of kVectors vectors, tiles of up to V::kMaxWidth activation rows.
template <typename V, int kVectors>
DenseKernels MakeDenseKernels() {
  using Float32 = PlainWeights<V, kVectors, float>;
  using Float16 = PlainWeights<V, kVectors, uint16_t>;
  using Bfloat16 = PairedWeights<V, kVectors>;
  static_assert(kVectors * V::kLanes <= kMaxPanelRows && V::kMaxWidth <= kMaxTileWidth, "scratch is sized by these");
  DenseKernels kernels = {};
  kernels.panel_rows = kVectors * V::kLanes;
  kernels.max_width = V::kMaxWidth;
  FillTiles<V, kVectors, Float32>(kernels.tile[static_cast<int>(Format::kFloat32)]);
  FillTiles<V, kVectors, Float16>(kernels.tile[static_cast<int>(Format::kFloat16)]);
  FillTiles<V, kVectors, Bfloat16>(kernels.tile[static_cast<int>(Format::kBfloat16)]);
  kernels.widen[static_cast<int>(Format::kFloat16)] = WidenBlock<V, kVectors, Float16>;
  kernels.widen[static_cast<int>(Format::kBfloat16)] = WidenBlock<V, kVectors, Bfloat16>;
  return kernels;
}

}  // namespace octavo
