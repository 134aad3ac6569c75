// Memory for weights and packed activations.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {

/// Uninitialized bytes, aligned to cache lines, large ones on huge pages where the system has them
/// (a panel is streamed once per token: with 4 KiB pages the walk of the page table would cost bandwidth).
class DenseMemory {
 public:
  explicit DenseMemory(size_t bytes) : data_(Allocate(bytes)) {}
  ~DenseMemory() { std::free(data_); }
  DenseMemory(const DenseMemory&) = delete;
  DenseMemory& operator=(const DenseMemory&) = delete;

  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }

 private:
  static void* Allocate(size_t bytes) {
    constexpr size_t kHugePage = 2 << 20;
    const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
    if (bytes == 0) return nullptr;
    void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == kHugePage) madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    return data;
  }

  void* data_;
};

}  // namespace octavo
