#include "scratch_pool.h"

#include <algorithm>
#include <utility>

namespace octavo {
namespace {

/// One of eight sizes per power of two: products of similar size share, and at most an eighth is unused.
size_t SizeClass(size_t bytes) {
  size_t step = 512;
  while (step * 16 < bytes) step *= 2;
  return std::max<size_t>(1, (bytes + step - 1) / step) * step;
}

}  // namespace

ScratchPool::Buffer ScratchPool::Take(size_t bytes) {
  const auto found = std::lower_bound(free_.begin(), free_.end(), bytes,
                                      [](const Buffer& buffer, size_t wanted) { return buffer.bytes < wanted; });
  if (found == free_.end()) {
    const size_t size = SizeClass(bytes);
    return {size, std::make_unique<DenseMemory>(size)};
  }
  Buffer buffer = std::move(*found);
  free_.erase(found);
  free_bytes_ -= buffer.bytes;
  return buffer;
}

void ScratchPool::Give(Buffer buffer) noexcept {
  if (buffer.bytes > kMaxBytes) return;
  free_bytes_ += buffer.bytes;
  const auto place = std::upper_bound(free_.begin(), free_.end(), buffer.bytes,
                                      [](size_t bytes, const Buffer& other) { return bytes < other.bytes; });
  free_.insert(place, std::move(buffer));
  // The smallest go first: a larger one serves in their place.
  while (free_.size() > kMaxBuffers || free_bytes_ > kMaxBytes) {
    free_bytes_ -= free_.front().bytes;
    free_.erase(free_.begin());
  }
}

}  // namespace octavo
