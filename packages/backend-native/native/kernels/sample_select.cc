#include "sample_select.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "sample.h"

namespace octavo {
namespace {

/// Up to this k a heap of the largest so far is faster than a selection among all.
constexpr int64_t kMostHeap = 1024;
/// So few weights are sorted.
constexpr int64_t kFewWeights = 512;
constexpr int kBuckets = 512;

/// Elements that are compared without a branch each.
constexpr int64_t kSome = 32;

bool HasAbove(const float* x, float limit) {
  int is_above = 0;
  for (int64_t i = 0; i < kSome; i++) is_above |= x[i] > limit ? 1 : 0;
  return is_above != 0;
}

float FindByHeap(const float* x, const float* block_max, float* heap, int64_t n, int64_t k) {
  std::fill_n(heap, k, -std::numeric_limits<float>::infinity());  // a min-heap
  for (int64_t start = 0; start < n; start += kSampleBlock) {
    if (!(block_max[start / kSampleBlock] > heap[0])) continue;
    const int64_t end = std::min(n, start + kSampleBlock);
    for (int64_t some = start; some < end; some += kSome) {
      const int64_t length = std::min(kSome, end - some);
      if (length == kSome && !HasAbove(x + some, heap[0])) continue;
      for (int64_t i = some; i < some + length; i++) {
        if (!(x[i] > heap[0])) continue;
        std::pop_heap(heap, heap + k, std::greater<float>());
        heap[k - 1] = x[i];
        std::push_heap(heap, heap + k, std::greater<float>());
      }
    }
  }
  return heap[0];
}

/// The weights lie in [low, low + (kBuckets << shift)); mass `above` lies above them.
struct Range {
  uint32_t low;
  int shift;
  double above;
};

/// The bucket of the range in which the mass reaches `wanted`; its weights go to the front, *n = how many.
Range Narrow(uint32_t* weights, int64_t* n, Range range, double wanted) {
  uint64_t masses[kBuckets] = {};
  for (int64_t i = 0; i < *n; i++) masses[(weights[i] - range.low) >> range.shift] += weights[i];
  int bucket = kBuckets - 1;
  double above = range.above;
  while (bucket > 0 && above + static_cast<double>(masses[bucket]) < wanted) above += static_cast<double>(masses[bucket--]);
  const uint32_t low = range.low + (static_cast<uint32_t>(bucket) << range.shift);
  int64_t count = 0;
  for (int64_t i = 0; i < *n; i++) {
    const uint32_t weight = weights[i];
    weights[count] = weight;
    count += (weight - low) >> range.shift == 0 ? 1 : 0;
  }
  *n = count;
  return {low, range.shift < 9 ? 0 : range.shift - 9, above};
}

}  // namespace

float FindTopK(const float* x, const float* block_max, float* memory, int64_t n, int64_t k) {
  if (k >= n) return -std::numeric_limits<float>::infinity();
  if (k <= kMostHeap) return FindByHeap(x, block_max, memory, n, k);
  float* const end = std::copy_if(x, x + n, memory, [](float value) { return !std::isnan(value); });
  if (end - memory < k) return -std::numeric_limits<float>::infinity();
  std::nth_element(memory, memory + k - 1, end, std::greater<float>());
  return memory[k - 1];
}

Head FindHead(uint32_t* weights, int64_t n, double wanted) {
  // 2^31 is the largest weight: 512 buckets of 2^23 hold it.
  Range range{0, 23, 0.0};
  bool is_exact = false;  // whether all weights left are equal
  while (n > kFewWeights && !is_exact) {
    is_exact = range.shift == 0;
    range = Narrow(weights, &n, range, wanted);
  }
  if (!is_exact) std::sort(weights, weights + n, std::greater<uint32_t>());
  double above = range.above;
  int64_t begin = 0;
  for (;;) {
    const uint32_t threshold = weights[begin];
    int64_t end = begin + 1;
    while (end < n && weights[end] == threshold) end++;
    const double mass = static_cast<double>(end - begin) * threshold;
    if (end == n || above + mass >= wanted) {
      const auto num_ties = static_cast<uint64_t>(std::ceil((wanted - above) / threshold));
      return {threshold, num_ties, static_cast<uint64_t>(above) + num_ties * threshold};
    }
    above += mass;
    begin = end;
  }
}

}  // namespace octavo
