#include "deferred_matrix.h"

#include <new>
#include <utility>
#include <vector>

namespace octavo {

namespace {

int64_t TotalBytes(const StoredPlanes& planes) {
  int64_t bytes = 0;
  for (const auto& plane : planes) bytes += plane->rows() * plane->row_bytes();
  return bytes;
}

/// The rows that are asked for, in memory that `copies` holds. False where they can't be had.
bool CopyRows(const StoredPlanes& planes, const int32_t* rows, int64_t n, std::vector<std::vector<uint8_t>>* copies,
              StoredPlanes* copied) {
  for (const auto& plane : planes) {
    const int64_t row_bytes = plane->row_bytes();
    std::vector<uint8_t>& copy = copies->emplace_back(static_cast<size_t>(n * row_bytes));
    for (int64_t i = 0; i < n; i++) {
      const uint8_t* row = nullptr;
      if (!plane->Read(rows[i], 1, copy.data() + i * row_bytes, &row)) return false;
    }
    copied->push_back(std::make_shared<StoredRows>(copy.data(), n, row_bytes));
  }
  return true;
}

}  // namespace

DeferredMatrix::DeferredMatrix(StoredPlanes stored, int64_t cols, Make make)
    : rows(stored[0]->rows()), cols(cols), bytes(TotalBytes(stored)), stored_(std::move(stored)), make_(std::move(make)) {}

/// The file is looked at before and after: rows that changed in between are worth nothing.
std::unique_ptr<Matrix> DeferredMatrix::Pack(const StoredPlanes& stored, ThreadPool& pool) const {
  if (!AreUnchanged(stored)) return nullptr;
  std::unique_ptr<Matrix> matrix = make_(stored, pool);
  if (!AreUnchanged(stored)) return nullptr;
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
  const StoredPlanes stored = stored_;
  lock.unlock();
  return Pack(stored, pool);
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
  StoredPlanes stored;
  const Matrix* matrix = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stored = stored_;
    matrix = packed_.get();  // which only the owner takes
  }
  std::unique_ptr<Matrix> some;
  if (matrix == nullptr) {
    std::vector<std::vector<uint8_t>> copies;
    StoredPlanes copied;
    if (!AreUnchanged(stored) || !CopyRows(stored, rows, n, &copies, &copied) || !AreUnchanged(stored)) return false;
    some = make_(copied, pool);
  }
  pool.ParallelFor(n, [&](int64_t i, int) {
    if (some != nullptr) some->ReadRow(i, out + i * some->cols);
    else matrix->ReadRow(rows[i], out + i * matrix->cols);
  });
  return true;
}

void DeferredMatrix::PackAlone(const std::shared_ptr<SharedRounds>& rounds) {
  StoredPlanes stored;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_taken_) return;
    rounds_ = rounds;
    stored = stored_;
  }
  std::unique_ptr<Matrix> matrix;
  try {
    matrix = Pack(stored, *rounds);
  } catch (const std::bad_alloc&) {
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (matrix != nullptr && !rounds->is_cancelled()) {
      packed_ = std::move(matrix);
      stored_.clear();
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
