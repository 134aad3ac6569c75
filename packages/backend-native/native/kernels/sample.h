// Draws tokens from rows of logits as core's host sampler does, token for token (packages/core/src/sampling).
// Weights are whole numbers, so sums are exact: neither threads nor vectors nor the order of tokens change a draw.
#pragma once

#include <cstdint>
#include <vector>

#include "../thread_pool.h"

namespace octavo {

struct SampleRow {
  float* logits;  // [n], as they were when the call returns
  double scale;   // logit differences times this are exponents of 2; 0 takes the largest logit
  double min_p_offset;
  double top_p;
  double uniform;  // in [0, 1)
  double repetition_penalty, frequency_penalty, presence_penalty;
  int64_t top_k;  // 0 = off

  int64_t num_biases;
  const int32_t* bias_ids;  // inside [0, n), in the order of their effect; may repeat
  const double* biases;     // -infinity bans
  int64_t num_seen;
  const int32_t* seen_ids;     // inside [0, n), each once
  const int32_t* seen_counts;  // in the output
  int64_t num_mask_words;      // at most those for n tokens; 0 = no mask
  const int32_t* mask;         // bit id % 32 of word id / 32 is 0 where a token is banned, as those beyond the mask are
};

/// Elements of a block: what is skipped as a whole.
constexpr int64_t kSampleBlock = 256;
/// Elements of a span: what a task takes at least.
constexpr int64_t kSampleSpan = 4096;
/// The largest token's weight.
constexpr double kWeightUnit = 2147483648.0;

/// The loops over the vocabulary.
struct SampleKernels {
  /// out [blocks] = the largest of each block of x[0 .. n); NaN where one of them is.
  void (*block_max)(float* out, const float* x, int64_t n);
  /// Weights of a block, 0 for logits that are not >= threshold; returns their sum.
  uint64_t (*weights)(uint32_t* out, const float* x, int64_t n, double largest, double scale, double threshold);
  /// out = x where the mask has a 1, else -infinity. `mask` begins with x[0] and has a word for every 32 elements begun.
  void (*mask)(float* out, const float* x, const int32_t* mask, int64_t n);
  /// Copies the weights >= least to out, which has room for n; returns how many.
  int64_t (*collect)(uint32_t* out, const uint32_t* weights, int64_t n, uint32_t least);
  /// Returns the sum of the weights above threshold; *ties = how many equal it.
  uint64_t (*mass)(const uint32_t* weights, int64_t n, uint32_t threshold, int64_t* ties);
};

/// What one thread needs for one row of n logits; kept from call to call, since fresh memory costs page faults.
struct SampleScratch {
  std::vector<float> saved;            // logits before biases and penalties
  std::vector<float> masked;           // [n] once a mask is given: the logits that it leaves
  std::vector<float> block_max;        // [blocks]
  std::vector<float> top_k;            // [n] once top-k is asked for
  std::vector<uint32_t> weights;       // [n]
  std::vector<uint32_t> heavy;         // [n]: of each span the weights that may bound the head, from its begin on
  std::vector<int64_t> num_heavy;      // [spans]
  std::vector<uint64_t> span_mass;     // [spans]
  std::vector<int64_t> span_ties;      // [spans]
  void Resize(int64_t n);
};

/// In place of a token: every one is banned, or a logit is NaN (`noTokenCodes` of packages/core/src/ops/sample.ts).
constexpr int32_t kSampleAllBanned = -1;
constexpr int32_t kSampleNaN = -2;

/// out[i] = the token drawn from rows[i], or one of these codes. `scratch`: grown to the pool's number of threads.
void SampleRows(int32_t* out, const std::vector<SampleRow>& rows, int64_t n, std::vector<SampleScratch>& scratch, ThreadPool& pool);

}  // namespace octavo
