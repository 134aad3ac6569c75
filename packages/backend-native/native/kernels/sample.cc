#include "sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernel_table.h"
#include "sample_select.h"

namespace octavo {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
/// A largest logit whose exponent is below this gives its block no weight: 2^31 * 2^-33 rounds to 0.
constexpr double kNoWeight = -33.0;
/// Spans of a task: handing out less takes longer than doing it.
constexpr int64_t kSpansPerTask = 4;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Draws from one row, with the spans of its vocabulary on the threads of `pool`, or all on this one.
class RowSampler {
 public:
  RowSampler(const SampleRow& row, int64_t n, SampleScratch& scratch, ThreadPool* pool)
      : row_(row),
        logits_(row.logits),
        n_(n),
        num_spans_(CeilDiv(n, kSampleSpan)),
        scratch_(scratch),
        pool_(pool),
        kernels_(Kernels().sample) {}

  int32_t Draw() {
    Apply();
    const int32_t token = DrawProcessed();
    Restore();
    return token;
  }

 private:
  /// Mask, biases and penalties, as `applyDraw` of packages/core/src/sampling/draw-token.ts.
  void Apply() {
    if (row_.num_mask_words > 0) Mask();
    scratch_.saved.clear();
    // All over a row that lies in no cache yet.
    for (int64_t i = 0; i < row_.num_seen; i++) __builtin_prefetch(logits_ + row_.seen_ids[i], 1);
    for (int64_t i = 0; i < row_.num_biases; i++) {
      float& logit = logits_[row_.bias_ids[i]];
      scratch_.saved.push_back(logit);
      logit = row_.biases[i] == kNothing ? kNothing : static_cast<float>(logit + row_.biases[i]);
    }
    for (int64_t i = 0; i < row_.num_seen; i++) {
      float& logit = logits_[row_.seen_ids[i]];
      scratch_.saved.push_back(logit);
      if (row_.repetition_penalty != 1.0) {
        const double value = logit;
        logit = static_cast<float>(value > 0.0 ? value / row_.repetition_penalty : value * row_.repetition_penalty);
      }
      if (row_.seen_counts[i] == 0 || (row_.frequency_penalty == 0.0 && row_.presence_penalty == 0.0)) continue;
      logit = static_cast<float>(logit - row_.frequency_penalty * row_.seen_counts[i] - row_.presence_penalty);
    }
  }

  /// Goes on with a copy: putting a row back would take as long.
  void Mask() {
    scratch_.masked.resize(static_cast<size_t>(n_));
    logits_ = scratch_.masked.data();
    EachSpan([this](int64_t begin, int64_t end) {
      const int64_t last = row_.num_mask_words * 32;
      const int64_t known = end < last ? end : (begin < last ? last : begin);
      if (known > begin) kernels_.mask(logits_ + begin, row_.logits + begin, row_.mask + begin / 32, known - begin);
      std::fill(logits_ + known, logits_ + end, kNothing);
    });
  }

  void Restore() const {
    int64_t at = row_.num_biases + row_.num_seen;
    for (int64_t i = row_.num_seen; i-- > 0;) logits_[row_.seen_ids[i]] = Saved(--at);
    for (int64_t i = row_.num_biases; i-- > 0;) logits_[row_.bias_ids[i]] = Saved(--at);
  }
  float Saved(int64_t at) const { return scratch_.saved[static_cast<size_t>(at)]; }

  int32_t DrawProcessed() {
    EachSpan([this](int64_t begin, int64_t end) {
      kernels_.block_max(&scratch_.block_max[static_cast<size_t>(begin / kSampleBlock)], logits_ + begin, end - begin);
    });
    const float largest = Largest();
    if (row_.scale == 0.0 || !std::isfinite(largest)) return FirstOf(largest);
    double threshold = static_cast<double>(largest) + row_.min_p_offset;
    if (row_.top_k > 0) {
      scratch_.top_k.resize(static_cast<size_t>(n_));
      const double kth = FindTopK(logits_, scratch_.block_max.data(), scratch_.top_k.data(), n_, row_.top_k);
      threshold = kth > threshold ? kth : threshold;
    }
    const uint64_t total = Weigh(largest, threshold);
    if (!(row_.top_p < 1.0)) return Pick(0, 0, total);
    const Head head = FindTopP(total);
    EachSpan([&](int64_t begin, int64_t end) {
      const auto span = static_cast<size_t>(begin / kSampleSpan);
      scratch_.span_mass[span] = kernels_.mass(&scratch_.weights[static_cast<size_t>(begin)], end - begin, head.threshold, &scratch_.span_ties[span]);
    });
    return Pick(head.threshold, head.num_ties, head.mass);
  }

  /// Calls run(begin, end) for every span of the vocabulary.
  template <class Run>
  void EachSpan(const Run& run) const {
    const auto some = [&](int64_t first, int64_t last) {
      for (int64_t s = first; s < last; s++) {
        run(s * kSampleSpan, (s + 1) * kSampleSpan < n_ ? (s + 1) * kSampleSpan : n_);
      }
    };
    if (pool_ == nullptr) return some(0, num_spans_);
    pool_->ParallelFor(CeilDiv(num_spans_, kSpansPerTask), [&](int64_t task, int) {
      const int64_t end = (task + 1) * kSpansPerTask;
      some(task * kSpansPerTask, end < num_spans_ ? end : num_spans_);
    });
  }

  /// NaN where one of the logits is.
  float Largest() const {
    float largest = kNothing;
    for (const float top : scratch_.block_max) {
      if (std::isnan(top)) return top;
      largest = top > largest ? top : largest;
    }
    return largest;
  }

  /// The first logit that equals `value`; a code where no token can be drawn.
  int32_t FirstOf(float value) const {
    if (std::isnan(value)) return kSampleNaN;
    if (value == kNothing) return kSampleAllBanned;
    int64_t block = 0;
    while (scratch_.block_max[static_cast<size_t>(block)] != value) block++;
    int64_t i = block * kSampleBlock;
    while (logits_[i] != value) i++;
    return static_cast<int32_t>(i);
  }

  /// Returns the sum of the weights; leaves that of each span in span_mass.
  uint64_t Weigh(double largest, double threshold) {
    EachSpan([&](int64_t begin, int64_t end) {
      uint64_t mass = 0;
      for (int64_t start = begin; start < end; start += kSampleBlock) {
        const int64_t length = end - start < kSampleBlock ? end - start : kSampleBlock;
        uint32_t* const weights = &scratch_.weights[static_cast<size_t>(start)];
        const double top = scratch_.block_max[static_cast<size_t>(start / kSampleBlock)];
        if (top >= threshold && (top - largest) * row_.scale > kNoWeight) {
          mass += kernels_.weights(weights, logits_ + start, length, largest, row_.scale, threshold);
        } else {
          std::memset(weights, 0, sizeof(uint32_t) * static_cast<size_t>(length));
        }
      }
      scratch_.span_mass[static_cast<size_t>(begin / kSampleSpan)] = mass;
    });
    uint64_t total = 0;
    for (const uint64_t mass : scratch_.span_mass) total += mass;
    return total;
  }

  Head FindTopP(uint64_t total) {
    const double wanted = row_.top_p * static_cast<double>(total);
    // All weights below this together are less than what may be left out, so the head ends above them.
    const double spare = (1.0 - row_.top_p) * static_cast<double>(total) * 0.999;
    const auto least = static_cast<uint32_t>(spare / static_cast<double>(n_)) + 1;
    EachSpan([&](int64_t begin, int64_t end) {
      const auto at = static_cast<size_t>(begin);
      scratch_.num_heavy[static_cast<size_t>(begin / kSampleSpan)] =
          kernels_.collect(&scratch_.heavy[at], &scratch_.weights[at], end - begin, least);
    });
    int64_t count = 0;
    uint32_t* const heavy = scratch_.heavy.data();
    for (int64_t s = 0; s < num_spans_; s++) {
      const int64_t size = scratch_.num_heavy[static_cast<size_t>(s)];
      if (count != s * kSampleSpan) std::memmove(heavy + count, heavy + s * kSampleSpan, sizeof(uint32_t) * static_cast<size_t>(size));
      count += size;
    }
    return FindHead(heavy, count, wanted);
  }

  /// The token in whose share of `total` the draw falls, tokens in ascending order: those of weight above `threshold` and the
  /// first `num_ties` of those that have it. span_mass and span_ties belong to the threshold.
  int32_t Pick(uint32_t threshold, uint64_t num_ties, uint64_t total) const {
    const auto drawn = static_cast<uint64_t>(row_.uniform * static_cast<double>(total));
    uint64_t rest = drawn < total ? drawn : total - 1;
    size_t span = 0;
    for (;; span++) {
      const auto has = num_ties == 0 ? 0 : static_cast<uint64_t>(scratch_.span_ties[span]);
      const uint64_t ties = has < num_ties ? has : num_ties;
      const uint64_t mass = scratch_.span_mass[span] + ties * threshold;
      if (rest < mass) break;
      rest -= mass;
      num_ties -= ties;
    }
    for (size_t i = span * static_cast<size_t>(kSampleSpan);; i++) {
      const uint32_t weight = scratch_.weights[i];
      const bool is_tie = weight == threshold && num_ties > 0;
      if (weight <= threshold && !is_tie) continue;
      if (is_tie) num_ties--;
      if (rest < weight) return static_cast<int32_t>(i);
      rest -= weight;
    }
  }

  const SampleRow& row_;
  float* logits_;  // of the row, or the scratch's
  const int64_t n_;
  const int64_t num_spans_;
  SampleScratch& scratch_;
  ThreadPool* const pool_;
  const SampleKernels kernels_;
};

}  // namespace

void SampleScratch::Resize(int64_t n) {
  const auto size = static_cast<size_t>(n);
  const auto num_spans = static_cast<size_t>(CeilDiv(n, kSampleSpan));
  block_max.resize(static_cast<size_t>(CeilDiv(n, kSampleBlock)));
  weights.resize(size);
  heavy.resize(size);
  num_heavy.resize(num_spans);
  span_mass.resize(num_spans);
  span_ties.resize(num_spans);
}

void SampleRows(int32_t* out, const std::vector<SampleRow>& rows, int64_t n, std::vector<SampleScratch>& scratch, ThreadPool& pool) {
  const auto num_rows = static_cast<int64_t>(rows.size());
  // Whole rows for the threads where there are enough of them for an even finish, else the spans of one row after another.
  const bool has_many_rows = num_rows >= 2 * pool.num_threads() || pool.num_threads() == 1;
  scratch.resize(has_many_rows ? static_cast<size_t>(pool.num_threads()) : 1);
  for (SampleScratch& own : scratch) own.Resize(n);
  const auto draw = [&](int64_t i, int thread, ThreadPool* spans_pool) {
    out[i] = RowSampler(rows[static_cast<size_t>(i)], n, scratch[static_cast<size_t>(thread)], spans_pool).Draw();
  };
  if (has_many_rows) {
    pool.ParallelFor(num_rows, [&](int64_t i, int thread) { draw(i, thread, nullptr); });
  } else {
    for (int64_t i = 0; i < num_rows; i++) draw(i, 0, n > kSpansPerTask * kSampleSpan ? &pool : nullptr);
  }
}

}  // namespace octavo
