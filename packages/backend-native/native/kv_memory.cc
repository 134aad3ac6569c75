#include "kv_memory.h"

#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {
namespace {

#if defined(__linux__)

float* Allocate(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // Attention reads whole blocks from all over the cache: large pages spare it address translations. A hint only.
  madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<float*>(memory);
}

void Free(float* memory, size_t bytes) { munmap(memory, bytes); }

#else

float* Allocate(size_t bytes) { return static_cast<float*>(std::calloc(bytes, 1)); }

void Free(float* memory, size_t) { std::free(memory); }

#endif

}  // namespace

KvMemory::KvMemory(int64_t num_layers, int64_t num_slots, int64_t width)
    : num_layers(num_layers),
      num_slots(num_slots),
      width(width),
      bytes_(sizeof(float) * 2 * static_cast<size_t>(num_layers * num_slots * width)),
      base_(Allocate(bytes_ == 0 ? sizeof(float) : bytes_)) {}

KvMemory::~KvMemory() {
  if (base_ != nullptr) Free(base_, bytes_ == 0 ? sizeof(float) : bytes_);
}

KvLayer KvMemory::Layer(int64_t layer) const {
  const int64_t size = num_slots * width;
  float* keys = base_ + 2 * layer * size;
  return {keys, keys + size};
}

void KvMemory::CopySlots(int64_t from, int64_t to, int64_t count) const {
  if (from == to) return;
  const size_t bytes = sizeof(float) * static_cast<size_t>(count * width);
  for (int64_t layer = 0; layer < num_layers; layer++) {
    const KvLayer kv = Layer(layer);
    std::memcpy(kv.keys + to * width, kv.keys + from * width, bytes);
    std::memcpy(kv.values + to * width, kv.values + from * width, bytes);
  }
}

}  // namespace octavo
