// The memory of a paged KV cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace octavo {

/// Keys and values [num_slots, kv_heads, head_dim] of every layer, with scales where the type has them: zeros, which take no memory until they are first written.
class KvMemory {
 public:
  KvMemory(int64_t num_layers, int64_t num_slots, int64_t kv_heads, int64_t head_dim, KvType type);
  ~KvMemory();
  KvMemory(const KvMemory&) = delete;
  KvMemory& operator=(const KvMemory&) = delete;

  /// False where the system has no room: nothing else may be called then.
  bool is_valid() const { return base_ != nullptr; }
  size_t bytes() const { return bytes_; }
  KvLayer Layer(int64_t layer) const;
  /// In every layer; the ranges are the same or do not overlap.
  void CopySlots(int64_t from, int64_t to, int64_t count) const;

  const int64_t num_layers;
  const int64_t num_slots;
  const int64_t kv_heads;
  const int64_t head_dim;
  const int64_t width;  // kv_heads * head_dim
  const KvType type;

 private:
  /// Of the keys, or values, of one slot.
  size_t RowBytes() const;
  size_t ScaleRowBytes() const;

  size_t layer_bytes_;
  size_t bytes_;
  char* base_;
};

}  // namespace octavo
