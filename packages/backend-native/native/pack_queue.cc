#include "pack_queue.h"

#include <algorithm>
#include <utility>

#include "block_signals.h"

namespace octavo {
namespace {

using Clock = std::chrono::steady_clock;

/// Longer than between two weights of a model that loads, or two that a request's step needs.
constexpr std::chrono::milliseconds kQuiet{50};

}  // namespace

PackQueue::~PackQueue() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
    if (rounds_ != nullptr) rounds_->Cancel();
  }
  has_work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PackQueue::Add(const std::shared_ptr<DeferredMatrix>& matrix) {
  const std::lock_guard<std::mutex> lock(mutex_);
  quiet_at_ = Clock::now() + kQuiet;
  waiting_.push_back(matrix);
  if (thread_.joinable()) {
    // With more than one the thread is awake, or waits for quiet already.
    if (waiting_.size() == 1) has_work_.notify_all();
    return;
  }
  const BlockSignals block;
  thread_ = std::thread([this] { Run(); });
}

PackQueue::StepAside::StepAside(PackQueue* queue) : queue_(queue) {
  if (queue_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  queue_->is_aside_ = true;
}

PackQueue::StepAside::~StepAside() {
  if (queue_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  queue_->is_aside_ = false;
  queue_->quiet_at_ = Clock::now() + kQuiet;
}

int64_t PackQueue::PendingBytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t total = current_ != nullptr && current_->IsPending() ? current_->bytes : 0;
  for (const std::weak_ptr<DeferredMatrix>& waiting : waiting_) {
    const std::shared_ptr<DeferredMatrix> matrix = waiting.lock();
    if (matrix != nullptr && matrix->IsPending()) total += matrix->bytes;
  }
  return total;
}

void PackQueue::Run() {
  // Not at a low priority: on a busy machine the engine's thread would wait long for a piece, or a lock, in its hands.
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    has_work_.wait(lock, [this] { return is_stopping_ || !waiting_.empty(); });
    if (is_stopping_) return;
    // Looks again from time to time: to be woken at the end of each weight that the owner packs would disturb the owner.
    if (const auto now = Clock::now(); is_aside_ || now < quiet_at_) {
      has_work_.wait_until(lock, is_aside_ ? now + kQuiet : quiet_at_, [this] { return is_stopping_; });
      continue;
    }
    current_ = waiting_.front().lock();
    waiting_.pop_front();
    if (current_ == nullptr) continue;
    rounds_ = std::make_shared<SharedRounds>();
    lock.unlock();
    current_->PackAlone(rounds_);
    lock.lock();
    rounds_.reset();
    current_.reset();
  }
}

}  // namespace octavo
