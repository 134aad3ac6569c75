// Work for TensorFlow's own threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"

namespace octavo {

inline int64_t NumThreads(tensorflow::OpKernelContext* context) {
  return context->device()->tensorflow_cpu_worker_threads()->num_threads;
}

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/** What the threads of one loop share. Outlives the loop: a thread that comes too late finds nothing left to claim. */
class Loop {
 public:
  Loop(int64_t num_items, const std::function<void(int64_t, int64_t)>* body) : num_items_(num_items), body_(body) {}

  void Work(int64_t worker) {
    int64_t done = 0;
    for (int64_t item; (item = next_.fetch_add(1, std::memory_order_relaxed)) < num_items_; done++) (*body_)(item, worker);
    if (done == 0) return;
    if (done_.fetch_add(done, std::memory_order_acq_rel) + done < num_items_) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    all_done_.notify_all();
  }

  /** Spins at first: the others end within an item of the caller's last, sooner than a sleeper wakes. */
  void Wait() {
    for (int i = 0; i < 2000; i++) {
      if (IsDone()) return;
      Pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [this] { return IsDone(); });
  }

 private:
  bool IsDone() const { return done_.load(std::memory_order_acquire) == num_items_; }

  const int64_t num_items_;
  const std::function<void(int64_t, int64_t)>* body_;
  std::atomic<int64_t> next_{0}, done_{0};
  std::mutex mutex_;
  std::condition_variable all_done_;
};

/** body(item, worker) for each item, in no order, on the caller and on threads of the device; workers < NumThreads. */
inline void ParallelFor(tensorflow::OpKernelContext* context, int64_t num_items,
                        const std::function<void(int64_t, int64_t)>& body) {
  const int64_t num_workers = num_items < NumThreads(context) ? num_items : NumThreads(context);
  if (num_workers <= 1) {
    for (int64_t item = 0; item < num_items; item++) body(item, 0);
    return;
  }
  const auto loop = std::make_shared<Loop>(num_items, &body);
  tensorflow::thread::ThreadPool* threads = context->device()->tensorflow_cpu_worker_threads()->workers;
  for (int64_t worker = 1; worker < num_workers; worker++) threads->Schedule([loop, worker] { loop->Work(worker); });
  loop->Work(0);
  loop->Wait();
}

}  // namespace octavo
