// The two thresholds that truncate a distribution, found without a sort of the vocabulary.
#pragma once

#include <cstdint>

namespace octavo {

/// The k-th largest of x[0 .. n), NaN left out; -infinity where there are fewer. `block_max`: of each kSampleBlock of x; `memory`
/// has room for n.
float FindTopK(const float* x, const float* block_max, float* memory, int64_t n, int64_t k);

/// What is left of a distribution: the weights above `threshold`, and of those equal to it the first `num_ties`.
struct Head {
  uint32_t threshold;
  uint64_t num_ties;
  uint64_t mass;  // of the weights that are left
};

/// The smallest head of `weights` [n], none 0, whose mass reaches `wanted`, at most their sum. Overwrites the weights.
Head FindHead(uint32_t* weights, int64_t n, double wanted);

}  // namespace octavo
