#include "kv_memory.h"

#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {
namespace {

#if defined(__linux__)

char* Allocate(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // Attention reads whole blocks from all over the cache: large pages spare it address translations. A hint only.
  madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<char*>(memory);
}

void Free(char* memory, size_t bytes) { munmap(memory, bytes); }

#else

char* Allocate(size_t bytes) { return static_cast<char*>(std::calloc(bytes, 1)); }

void Free(char* memory, size_t) { std::free(memory); }

#endif

/// So that the next array begins on a cache line.
size_t Aligned(int64_t rows, size_t row_bytes) { return (static_cast<size_t>(rows) * row_bytes + 63) / 64 * 64; }

}  // namespace

KvMemory::KvMemory(int64_t num_layers, int64_t num_slots, int64_t kv_heads, int64_t head_dim, KvType type)
    : num_layers(num_layers),
      num_slots(num_slots),
      kv_heads(kv_heads),
      head_dim(head_dim),
      width(kv_heads * head_dim),
      type(type),
      layer_bytes_(2 * (Aligned(num_slots, RowBytes()) + Aligned(num_slots, ScaleRowBytes()))),
      bytes_(static_cast<size_t>(num_layers) * layer_bytes_),
      base_(Allocate(bytes_)) {}

KvMemory::~KvMemory() {
  if (base_ != nullptr) Free(base_, bytes_);
}

size_t KvMemory::RowBytes() const {
  const size_t element = type == KvType::kFloat32 ? 4 : type == KvType::kBfloat16 ? 2 : 1;
  return element * static_cast<size_t>(width);
}

size_t KvMemory::ScaleRowBytes() const { return type == KvType::kInt8 ? sizeof(float) * static_cast<size_t>(kv_heads) : 0; }

KvLayer KvMemory::Layer(int64_t layer) const {
  char* const keys = base_ + static_cast<size_t>(layer) * layer_bytes_;
  char* const values = keys + Aligned(num_slots, RowBytes());
  if (ScaleRowBytes() == 0) return {type, kv_heads, head_dim, keys, values, nullptr, nullptr};
  char* const key_scales = values + Aligned(num_slots, RowBytes());
  char* const value_scales = key_scales + Aligned(num_slots, ScaleRowBytes());
  return {type, kv_heads, head_dim, keys, values, reinterpret_cast<float*>(key_scales), reinterpret_cast<float*>(value_scales)};
}

void KvMemory::CopySlots(int64_t from, int64_t to, int64_t count) const {
  if (from == to) return;
  const auto copy = [&](void* rows, size_t row_bytes) {
    if (rows == nullptr) return;
    char* const bytes = static_cast<char*>(rows);
    std::memcpy(bytes + static_cast<size_t>(to) * row_bytes, bytes + static_cast<size_t>(from) * row_bytes,
                static_cast<size_t>(count) * row_bytes);
  };
  for (int64_t layer = 0; layer < num_layers; layer++) {
    const KvLayer kv = Layer(layer);
    for (void* rows : {kv.keys, kv.values}) copy(rows, RowBytes());
    for (float* scales : {kv.key_scales, kv.value_scales}) copy(scales, ScaleRowBytes());
  }
}

}  // namespace octavo
