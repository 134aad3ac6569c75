#include "shared_rounds.h"

namespace octavo {

void SharedRounds::Work(Round& round) const {
  while (!is_cancelled_) {
    const int64_t i = round.num_taken.fetch_add(1);
    if (i >= round.count) return;
    round.task(i, 0);
  }
}

void SharedRounds::ParallelFor(int64_t num_tasks, const std::function<void(int64_t, int)>& task) {
  Round round{num_tasks, task};
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    round_ = &round;
    num_rounds_++;
  }
  changed_.notify_all();
  Work(round);
  std::unique_lock<std::mutex> lock(mutex_);
  round_ = nullptr;
  changed_.wait(lock, [this] { return num_helpers_ == 0; });
}

void SharedRounds::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closed_ = true;
  }
  changed_.notify_all();
}

void SharedRounds::HelpUntilClosed(ThreadPool& pool) {
  int64_t last_round = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_closed_ || (round_ != nullptr && num_rounds_ != last_round); });
    if (is_closed_) return;
    Round& round = *round_;
    last_round = num_rounds_;
    num_helpers_++;
    lock.unlock();
    pool.ParallelFor(pool.num_threads(), [&](int64_t, int) { Work(round); });
    lock.lock();
    num_helpers_--;
    changed_.notify_all();
  }
}

}  // namespace octavo
