#include "deferred_matrix.h"

#include <new>
#include <utility>
#include <vector>

namespace octavo {

/// The file is looked at before and after: rows that changed in between are worth nothing.
std::unique_ptr<Matrix> DeferredMatrix::Pack(const StoredRows& stored, ThreadPool& pool) const {
  if (!stored.IsUnchanged()) return nullptr;
  std::unique_ptr<Matrix> matrix = make_(stored, pool);
  if (!stored.IsUnchanged()) return nullptr;
  return matrix;
}

std::unique_ptr<Matrix> DeferredMatrix::Take(ThreadPool& pool) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (rounds_ != nullptr) {
    const std::shared_ptr<SharedRounds> rounds = rounds_;
    lock.unlock();
    rounds->HelpUntilClosed(pool);
    lock.lock();
  }
  if (packed_ != nullptr) return std::move(packed_);
  is_taken_ = true;
  const std::shared_ptr<const StoredRows> stored = stored_;
  lock.unlock();
  return Pack(*stored, pool);
}

std::unique_ptr<Matrix> DeferredMatrix::TryTake() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::move(packed_);
}

void DeferredMatrix::Abandon() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_taken_ = true;
  if (rounds_ != nullptr) rounds_->Cancel();
}

bool DeferredMatrix::ReadRows(const int32_t* rows, int64_t n, float* out, ThreadPool& pool) const {
  std::shared_ptr<const StoredRows> stored;
  const Matrix* matrix = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stored = stored_;
    matrix = packed_.get();  // which only the owner takes
  }
  std::unique_ptr<Matrix> some;
  if (matrix == nullptr) {
    if (!stored->IsUnchanged()) return false;
    const int64_t row_bytes = stored->row_bytes();
    std::vector<uint8_t> copy(static_cast<size_t>(n * row_bytes));
    for (int64_t i = 0; i < n; i++) {
      const uint8_t* row = nullptr;
      if (!stored->Read(rows[i], 1, copy.data() + i * row_bytes, &row)) return false;
    }
    if (!stored->IsUnchanged()) return false;
    some = make_(StoredRows(copy.data(), n, row_bytes), pool);
  }
  pool.ParallelFor(n, [&](int64_t i, int) {
    if (some != nullptr) some->ReadRow(i, out + i * some->cols);
    else matrix->ReadRow(rows[i], out + i * matrix->cols);
  });
  return true;
}

void DeferredMatrix::PackAlone(const std::shared_ptr<SharedRounds>& rounds) {
  std::shared_ptr<const StoredRows> stored;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_taken_) return;
    rounds_ = rounds;
    stored = stored_;
  }
  std::unique_ptr<Matrix> matrix;
  try {
    matrix = Pack(*stored, *rounds);
  } catch (const std::bad_alloc&) {
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (matrix != nullptr && !rounds->is_cancelled()) {
      packed_ = std::move(matrix);
      stored_.reset();
    }
    rounds_.reset();
  }
  rounds->Close();
}

bool DeferredMatrix::IsPending() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return packed_ == nullptr && !is_taken_;
}

}  // namespace octavo
