// A weight that lies in a file and is packed when it is needed, or before that by a PackQueue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "matrix.h"
#include "shared_rounds.h"
#include "stored_rows.h"

namespace octavo {

/// Packed once, by whoever comes first: its owner, with all threads of a pool, or one other thread, whose packing the
/// owner joins if it comes meanwhile. All but PackAlone is called by the owner's thread only.
class DeferredMatrix {
 public:
  using Make = std::function<std::unique_ptr<Matrix>(const StoredPlanes&, ThreadPool&)>;

  DeferredMatrix(StoredPlanes stored, int64_t cols, Make make);

  /// The packed matrix. Null where its rows can't be had: a file has changed. Then it may be tried again.
  std::unique_ptr<Matrix> Take(ThreadPool& pool);
  /// The packed matrix if it is there already, else null.
  std::unique_ptr<Matrix> TryTake();
  /// Ends the other thread's packing soon, and keeps it from beginning.
  void Abandon();

  /// The stored values of rows as float32, out[n, cols], without packing all the others. False as `Take` is null.
  bool ReadRows(const int32_t* rows, int64_t n, float* out, ThreadPool& pool) const;

  /// By the other thread. What fails is left to the owner, who can say so.
  void PackAlone(const std::shared_ptr<SharedRounds>& rounds);
  /// Whether the memory of the packed matrix is still to be taken; by any thread.
  bool IsPending() const;

  const int64_t rows;
  const int64_t cols;
  /// As stored; the packed matrix takes about as much.
  const int64_t bytes;

 private:
  std::unique_ptr<Matrix> Pack(const StoredPlanes& stored, ThreadPool& pool) const;

  mutable std::mutex mutex_;
  StoredPlanes stored_;  // till it is packed
  const Make make_;
  std::unique_ptr<Matrix> packed_;
  std::shared_ptr<SharedRounds> rounds_;  // while the other thread packs
  bool is_taken_ = false;
};

}  // namespace octavo
