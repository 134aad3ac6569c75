// Memory that operations need while they run, kept for the next ones.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/linear_dense_memory.h"

namespace octavo {

/// Fresh memory of megabytes costs as much as many a product: the system hands it out page by page, each cleared first.
/// For one thread at a time, the one that calls ThreadPool::ParallelFor.
class ScratchPool {
  struct Buffer {
    size_t bytes;
    std::unique_ptr<DenseMemory> memory;
  };

 public:
  ScratchPool() { free_.reserve(kMaxBuffers + 1); }

  /// Bytes of any content, aligned to cache lines, as long as it lives.
  class Block {
   public:
    Block(ScratchPool& pool, size_t bytes) : pool_(pool), buffer_(pool.Take(bytes)) {}
    ~Block() { pool_.Give(std::move(buffer_)); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    template <typename T>
    T* As() const {
      return buffer_.memory->As<T>();
    }

   private:
    ScratchPool& pool_;
    Buffer buffer_;
  };

 private:
  static constexpr size_t kMaxBuffers = 16;
  static constexpr size_t kMaxBytes = size_t{64} << 20;

  /// The smallest that is large enough, else a new one. Throws std::bad_alloc.
  Buffer Take(size_t bytes);
  void Give(Buffer buffer) noexcept;

  std::vector<Buffer> free_;  // ascending in size
  size_t free_bytes_ = 0;
};

}  // namespace octavo
