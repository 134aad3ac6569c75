// Packs weights of files in the background, one after the other.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "deferred_matrix.h"

namespace octavo {

/// One thread, which sleeps while there is nothing to pack. It steps aside while a model loads and while its owner
/// packs what a request needs: then all CPUs are theirs.
class PackQueue {
 public:
  /// Around what the owner packs itself.
  class StepAside {
   public:
    /// Of no queue where that is null.
    explicit StepAside(PackQueue* queue);
    ~StepAside();
    StepAside(const StepAside&) = delete;
    StepAside& operator=(const StepAside&) = delete;

   private:
    PackQueue* const queue_;
  };

  PackQueue() = default;
  /// Ends the thread; what is not packed by then is left to be packed when it is needed.
  ~PackQueue();
  PackQueue(const PackQueue&) = delete;
  PackQueue& operator=(const PackQueue&) = delete;

  void Add(const std::shared_ptr<DeferredMatrix>& matrix);
  /// What the matrices in the queue will take once they are packed.
  int64_t PendingBytes() const;

 private:
  void Run();

  mutable std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::weak_ptr<DeferredMatrix>> waiting_;
  std::shared_ptr<DeferredMatrix> current_;
  std::shared_ptr<SharedRounds> rounds_;  // of the current one
  std::chrono::steady_clock::time_point quiet_at_{};
  bool is_aside_ = false;
  bool is_stopping_ = false;
  std::thread thread_;  // from the first matrix on
};

}  // namespace octavo
