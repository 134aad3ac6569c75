// Pool.sampleRows.
#include <cmath>
#include <limits>
#include <vector>

#include "binding.h"
#include "binding_pool.h"
#include "kernels/sample.h"

namespace octavo {
namespace {

/// Of the numbers that describe a row.
enum SampleParam : int64_t { kRow, kScale, kMinPOffset, kTopK, kTopP, kUniform, kRepetition, kFrequency, kPresence, kNumParams };

/// Entries [starts[i], starts[i + 1]) of a list belong to row i.
void CheckStarts(const Napi::Env& env, const int32_t* starts, int64_t num_rows, int64_t length) {
  bool is_right = starts[0] == 0 && starts[num_rows] == length;
  for (int64_t i = 0; i < num_rows; i++) is_right = is_right && starts[i] <= starts[i + 1];
  if (!is_right) ThrowRange(env, "the starts must ascend from 0 to the length of their list");
}

void CheckIds(const Napi::Env& env, const int32_t* ids, int64_t length, int64_t n) {
  for (int64_t i = 0; i < length; i++) {
    if (ids[i] < 0 || ids[i] >= n) {
      ThrowRange(env, "token " + std::to_string(ids[i]) + " is outside [0, " + std::to_string(n) + ")");
    }
  }
}

/// A ban is -infinity; any other must be finite.
void CheckBiases(const Napi::Env& env, const double* biases, int64_t length) {
  for (int64_t i = 0; i < length; i++) {
    if (!(biases[i] < std::numeric_limits<double>::infinity())) ThrowRange(env, "a bias must be a number or -infinity");
  }
}

void CheckParams(const Napi::Env& env, const double* params, int64_t num_logit_rows, int64_t n) {
  const double row = params[kRow];
  const double top_k = params[kTopK];
  const bool is_row = row >= 0 && row < static_cast<double>(num_logit_rows) && row == static_cast<double>(static_cast<int64_t>(row));
  const bool is_right = is_row && top_k >= 0 && top_k <= static_cast<double>(n) && params[kTopP] > 0 && params[kTopP] <= 1 &&
                        params[kUniform] >= 0 && params[kUniform] < 1 && params[kScale] >= 0 && std::isfinite(params[kScale]) &&
                        params[kMinPOffset] <= 0 && params[kRepetition] > 0 && std::isfinite(params[kRepetition]) &&
                        std::isfinite(params[kFrequency]) && std::isfinite(params[kPresence]);
  if (!is_right) ThrowRange(env, "a sampling parameter is outside its range");
}

}  // namespace

/// sampleRows(out Int32Array[rows], logits[logitRows, n], n, params Float64Array[rows, 9],
///   biasStarts Int32Array[rows + 1], biasIds Int32Array, biases Float64Array,
///   seenStarts Int32Array[rows + 1], seenIds Int32Array, seenCounts Int32Array,
///   maskStarts Int32Array[rows + 1], masks Int32Array)
/// A row's parameters: logit row (each once), scale (0 = greedy), minPOffset, topK (0 = off), topP, uniform, repetition, frequency
/// and presence penalty.
void PoolObject::SampleRows(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int64_t num_rows = arguments.Length(0, "out");
  int32_t* out = arguments.Integers(0, "out", num_rows);
  const int64_t num_logits = arguments.Length(1, "logits");
  float* logits = arguments.Floats(1, "logits", num_logits);
  const int64_t n = arguments.Integer(2, "n", 1, INT32_MAX);
  const double* params = arguments.Doubles(3, "params", num_rows * kNumParams);
  const int32_t* bias_starts = arguments.Integers(4, "biasStarts", num_rows + 1);
  const int64_t num_biases = arguments.Length(5, "biasIds");
  const int32_t* bias_ids = arguments.Integers(5, "biasIds", num_biases);
  const double* biases = arguments.Doubles(6, "biases", num_biases);
  const int32_t* seen_starts = arguments.Integers(7, "seenStarts", num_rows + 1);
  const int64_t num_seen = arguments.Length(8, "seenIds");
  const int32_t* seen_ids = arguments.Integers(8, "seenIds", num_seen);
  const int32_t* seen_counts = arguments.Integers(9, "seenCounts", num_seen);
  CheckStarts(env, bias_starts, num_rows, num_biases);
  CheckStarts(env, seen_starts, num_rows, num_seen);
  const int32_t* mask_starts = arguments.Integers(10, "maskStarts", num_rows + 1);
  const int64_t num_words = arguments.Length(11, "masks");
  const int32_t* masks = arguments.Integers(11, "masks", num_words);
  CheckStarts(env, mask_starts, num_rows, num_words);
  CheckIds(env, bias_ids, num_biases, n);
  CheckBiases(env, biases, num_biases);
  CheckIds(env, seen_ids, num_seen, n);
  std::vector<SampleRow> rows(static_cast<size_t>(num_rows));
  std::vector<bool> is_taken(static_cast<size_t>(num_logits / n));
  for (int64_t i = 0; i < num_rows; i++) {
    const double* p = params + i * kNumParams;
    CheckParams(env, p, num_logits / n, n);
    const auto row = static_cast<size_t>(p[kRow]);
    if (is_taken[row]) ThrowRange(env, "a row of logits is drawn from twice");
    is_taken[row] = true;
    const int64_t num_mask_words = mask_starts[i + 1] - mask_starts[i];
    if (num_mask_words > (n + 31) / 32) ThrowRange(env, "a mask is longer than the vocabulary");
    rows[static_cast<size_t>(i)] = {logits + static_cast<int64_t>(row) * n, p[kScale], p[kMinPOffset], p[kTopP], p[kUniform],
                                    p[kRepetition], p[kFrequency], p[kPresence], static_cast<int64_t>(p[kTopK]),
                                    bias_starts[i + 1] - bias_starts[i], bias_ids + bias_starts[i], biases + bias_starts[i],
                                    seen_starts[i + 1] - seen_starts[i], seen_ids + seen_starts[i], seen_counts + seen_starts[i],
                                    num_mask_words, masks + mask_starts[i]};
  }
  octavo::SampleRows(out, rows, n, sample_scratch_, Live(env));
}

}  // namespace octavo
