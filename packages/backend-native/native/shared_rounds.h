// The rounds of one thread, in which the threads of a pool may help.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

#include "thread_pool.h"

namespace octavo {

/// To its own thread, a pool of one. `thread` is 0 for all who run a task: tasks must not need scratch of their own.
class SharedRounds final : public ThreadPool {
 public:
  SharedRounds() : ThreadPool(1) {}

  void ParallelFor(int64_t num_tasks, const std::function<void(int64_t task, int thread)>& task) override;
  /// No more rounds; by its own thread.
  void Close();

  /// From now on tasks are left out: what the rounds made is worth nothing.
  void Cancel() { is_cancelled_ = true; }
  bool is_cancelled() const { return is_cancelled_; }

  /// Runs tasks on all threads of `pool`, until Close.
  void HelpUntilClosed(ThreadPool& pool);

 private:
  struct Round {
    const int64_t count;
    const std::function<void(int64_t, int)>& task;
    std::atomic<int64_t> num_taken{0};
  };

  void Work(Round& round) const;

  std::atomic<bool> is_cancelled_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  Round* round_ = nullptr;  // while others may come in
  int64_t num_rounds_ = 0;  // until now
  int num_helpers_ = 0;
  bool is_closed_ = false;
};

}  // namespace octavo
