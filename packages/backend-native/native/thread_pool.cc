#include "thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "block_signals.h"

namespace octavo {
namespace {

// Longer than the pause between two operations of a step, shorter than anything a user would notice as load.
constexpr std::chrono::microseconds kSpin{200};

void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

template <typename Predicate>
bool SpinUntil(const Predicate& is_done) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; i++) {
      if (is_done()) return true;
      CpuRelax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return is_done();
}

constexpr int64_t kMaxTasksPerRound = INT64_C(0xffffffff);

}  // namespace

// A round hands out `count` tasks through one ticket: the round's number in the upper half, the tasks not yet taken in
// the lower half. A worker takes a task by exchanging the ticket, so one that is late, with a ticket of an earlier
// round, can take nothing; and while a taken task is unfinished its round cannot end, so `task` and `count` stay valid.
struct ThreadPool::Impl {
  explicit Impl(int num_threads) : num_threads(num_threads) {
    const BlockSignals block;
    workers.reserve(static_cast<size_t>(num_threads - 1));
    for (int thread = 1; thread < num_threads; thread++) workers.emplace_back([this, thread] { Work(thread); });
  }

  ~Impl() {
    is_stopping.store(true);
    { const std::lock_guard<std::mutex> lock(mutex); }
    has_work.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void Work(int thread) {
    while (!is_stopping.load()) {
      RunTasks(thread);
      const auto is_woken = [this] { return HasTasks() || is_stopping.load(); };
      if (SpinUntil(is_woken)) continue;
      std::unique_lock<std::mutex> lock(mutex);
      num_sleepers.fetch_add(1);
      has_work.wait(lock, is_woken);
      num_sleepers.fetch_sub(1);
    }
  }

  bool HasTasks() const { return static_cast<uint32_t>(ticket.load()) != 0; }

  /// Runs tasks of the current round until none is left to take.
  void RunTasks(int thread) {
    uint64_t seen = ticket.load();
    while (static_cast<uint32_t>(seen) != 0) {
      if (!ticket.compare_exchange_weak(seen, seen - 1)) continue;
      const int64_t index = count - static_cast<int64_t>(static_cast<uint32_t>(seen));
      (*task)(index, thread);
      // After the last one `task` may be gone, and `count` may be the next round's.
      if (num_unfinished.fetch_sub(1) == 1 && is_caller_asleep.load()) {
        { const std::lock_guard<std::mutex> lock(mutex); }
        is_round_over.notify_one();
      }
      seen = ticket.load();
    }
  }

  void Round(int64_t num_tasks, const std::function<void(int64_t, int)>& round_task) {
    task = &round_task;
    count = num_tasks;
    num_unfinished.store(num_tasks);
    ticket.store((++round << 32) | static_cast<uint64_t>(num_tasks));
    if (num_sleepers.load() > 0) {
      { const std::lock_guard<std::mutex> lock(mutex); }
      if (num_tasks == 2) has_work.notify_one();
      else has_work.notify_all();
    }
    RunTasks(0);
    const auto is_over = [this] { return num_unfinished.load() == 0; };
    if (SpinUntil(is_over)) return;
    std::unique_lock<std::mutex> lock(mutex);
    is_caller_asleep.store(true);
    is_round_over.wait(lock, is_over);
    is_caller_asleep.store(false);
  }

  const int num_threads;
  std::vector<std::thread> workers;

  std::mutex mutex;
  std::condition_variable has_work;
  std::condition_variable is_round_over;
  std::atomic<int> num_sleepers{0};
  std::atomic<bool> is_caller_asleep{false};
  std::atomic<bool> is_stopping{false};

  uint64_t round = 0;
  const std::function<void(int64_t, int)>* task = nullptr;
  int64_t count = 0;
  // Apart, so that spinning on one does not slow the other.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> num_unfinished{0};
};

ThreadPool::ThreadPool(int num_threads) : impl_(new Impl(num_threads < 1 ? 1 : num_threads)) {}

ThreadPool::~ThreadPool() { delete impl_; }

int ThreadPool::num_threads() const { return impl_->num_threads; }

void ThreadPool::ParallelFor(int64_t num_tasks, const std::function<void(int64_t, int)>& task) {
  if (num_tasks <= 1 || impl_->num_threads == 1) {
    for (int64_t i = 0; i < num_tasks; i++) task(i, 0);
    return;
  }
  for (int64_t first = 0; first < num_tasks; first += kMaxTasksPerRound) {
    const int64_t size = num_tasks - first < kMaxTasksPerRound ? num_tasks - first : kMaxTasksPerRound;
    if (first == 0) impl_->Round(size, task);
    else impl_->Round(size, [&](int64_t i, int thread) { task(first + i, thread); });
  }
}

}  // namespace octavo
