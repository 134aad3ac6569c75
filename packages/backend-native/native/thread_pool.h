// A pool that spins briefly and then sleeps.
#pragma once

#include <cstdint>
#include <functional>

#include "scratch_pool.h"

namespace octavo {

class ThreadPool {
 public:
  /// `num_threads` counts the calling thread; 1 runs everything inline.
  explicit ThreadPool(int num_threads);
  virtual ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  /// Calls task(i, thread) for each i in [0, num_tasks), tasks handed out dynamically; returns when all are done.
  /// `thread` in [0, num_threads) names the scratch that a task may use. Not reentrant.
  virtual void ParallelFor(int64_t num_tasks, const std::function<void(int64_t task, int thread)>& task);

  /// What operations on this pool work in.
  ScratchPool& scratch() { return scratch_; }

 private:
  struct Impl;
  Impl* impl_;
  ScratchPool scratch_;
};

}  // namespace octavo
