#include "probes.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>

#include "kernels/kernel_table.h"

namespace octavo {
namespace {

constexpr int kPasses = 5;

template <typename Run>
double SecondsOf(const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Four sums side by side: the additions must not be what limits it.
uint64_t Sum(const uint64_t* values, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    for (int lane = 0; lane < 8; lane++) sums[lane] += values[i + lane];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

double ReadBandwidth(int64_t bytes, ThreadPool& pool) {
  constexpr int64_t kChunk = 1 << 17;  // 1 MiB of 64-bit values
  const int64_t count = bytes / 8;
  const std::unique_ptr<uint64_t[]> values(new (std::nothrow) uint64_t[static_cast<size_t>(count)]);
  if (values == nullptr) return 0;
  const int64_t chunks = (count + kChunk - 1) / kChunk;
  const auto range = [&](int64_t chunk) { return std::min(kChunk, count - chunk * kChunk); };
  pool.ParallelFor(chunks, [&](int64_t chunk, int) {
    std::fill_n(values.get() + chunk * kChunk, range(chunk), static_cast<uint64_t>(chunk));
  });
  double best = 1e30;
  volatile uint64_t sink = 0;
  for (int pass = 0; pass < kPasses; pass++) {
    const double seconds = SecondsOf([&] {
      pool.ParallelFor(chunks, [&](int64_t chunk, int) { sink = Sum(values.get() + chunk * kChunk, range(chunk)); });
    });
    best = std::min(best, seconds);
  }
  return static_cast<double>(count) * 8 / best;
}

double MultiplyRate(ThreadPool& pool) {
  constexpr int64_t kRounds = 1 << 19;
  const auto multiply = Kernels().multiply;
  if (multiply == nullptr) return 0;
  double best = 0;
  const int64_t tasks = pool.num_threads();
  for (int pass = 0; pass < kPasses; pass++) {
    double operations = 0;
    const double seconds = SecondsOf([&] {
      // One long task per thread; the caller's tells how many operations each of them did.
      pool.ParallelFor(tasks, [&](int64_t task, int) {
        const double done = multiply(kRounds);
        if (task == 0) operations = done;
      });
    });
    best = std::max(best, operations * static_cast<double>(tasks) / seconds);
  }
  return best;
}

}  // namespace octavo
