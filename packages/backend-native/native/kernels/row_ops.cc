// Operations on rows and elements: how they are cut into tasks.
#include <vector>

#include "kernel_table.h"
#include "ops.h"
#include "parallel_rows.h"

namespace octavo {

void RmsNorm(float* out, const float* x, const float* weight, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  const auto kernel = Kernels().rms_norm;
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    kernel(out + begin * d, nullptr, x + begin * d, nullptr, weight, end - begin, d, epsilon);
  });
}

void AddRmsNorm(float* out, float* sum, const float* x, const float* residual, const float* weight, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  const auto kernel = Kernels().rms_norm;
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * d;
    kernel(out + at, sum + at, x + at, residual + at, weight, end - begin, d, epsilon);
  });
}

void LayerNorm(float* out, const float* x, const float* weight, const float* bias, int64_t n, int64_t d, float epsilon, ThreadPool& pool) {
  const auto kernel = Kernels().layer_norm;
  ParallelRows(pool, n, d, [&](int64_t begin, int64_t end) {
    kernel(out + begin * d, x + begin * d, weight, bias, end - begin, d, epsilon);
  });
}

void RotaryEmbedding(const RotaryArgs& args, ThreadPool& pool) {
  const auto kernel = Kernels().rotary;
  ParallelRows(pool, args.n, args.width, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

void Activation(float* out, const float* x, ActivationKind kind, int64_t count, ThreadPool& pool) {
  const auto kernel = Kernels().activation;
  ParallelRows(pool, count, 1, [&](int64_t begin, int64_t end) { kernel(out + begin, x + begin, kind, end - begin); });
}

void GatedActivation(float* out, const float* gate_up, GatedKind kind, int64_t n, int64_t m, ThreadPool& pool) {
  const auto kernel = Kernels().gated_activation;
  // Over the flat output: a chunk may begin and end within a row, so that a single wide row is shared too.
  ParallelRows(pool, n * m, 1, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / m;
      const int64_t column = begin % m;
      const int64_t count = end - begin < m - column ? end - begin : m - column;
      const float* gate = gate_up + row * 2 * m + column;
      kernel(out + begin, gate, gate + m, kind, count);
      begin += count;
    }
  });
}

void ArgmaxRows(int32_t* out, const float* x, int64_t rows, int64_t n, ThreadPool& pool) {
  const auto kernel = Kernels().argmax;
  constexpr int64_t kSpan = 2 * kElementsPerChunk;
  const int64_t spans = rows > 0 && n > 0 ? (n + kSpan - 1) / kSpan : 1;
  std::vector<Largest> found(static_cast<size_t>(rows * spans), Largest{0.0f, 0});
  ParallelRows(pool, rows * spans, kSpan, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t start = i % spans * kSpan;
      found[static_cast<size_t>(i)] = kernel(x + i / spans * n + start, n - start < kSpan ? n - start : kSpan);
    }
  });
  for (int64_t row = 0; row < rows; row++) {
    const Largest* spans_of_row = &found[static_cast<size_t>(row * spans)];
    int64_t best = 0;
    for (int64_t s = 1; s < spans; s++) {
      if (spans_of_row[s].value > spans_of_row[best].value) best = s;
    }
    out[row] = static_cast<int32_t>(best * kSpan + spans_of_row[best].index);
  }
}

}  // namespace octavo
