#include <cstring>

#include "kernel_table.h"
#include "ops.h"

namespace octavo {
namespace {

void ReadRow(KvType type, float* to, const void* stored, const float* scales, int64_t slot, int64_t kv_heads, int64_t head_dim) {
  const int64_t width = kv_heads * head_dim;
  if (type == KvType::kFloat32) {
    std::memcpy(to, static_cast<const float*>(stored) + slot * width, sizeof(float) * static_cast<size_t>(width));
  } else if (type == KvType::kBfloat16) {
    const auto* from = static_cast<const uint16_t*>(stored) + slot * width;
    for (int64_t i = 0; i < width; i++) {
      const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
      std::memcpy(to + i, &bits, sizeof bits);
    }
  } else {
    const auto* from = static_cast<const int8_t*>(stored) + slot * width;
    for (int64_t i = 0; i < width; i++) to[i] = static_cast<float>(from[i]) * scales[slot * kv_heads + i / head_dim];
  }
}

}  // namespace

void KvWrite(const KvLayer& kv, const float* keys, const float* values, const int32_t* slots, int64_t n) {
  const int64_t width = kv.kv_heads * kv.head_dim;
  if (kv.type == KvType::kFloat32) {
    const size_t bytes = sizeof(float) * static_cast<size_t>(width);
    for (int64_t i = 0; i < n; i++) {
      std::memcpy(static_cast<float*>(kv.keys) + slots[i] * width, keys + i * width, bytes);
      std::memcpy(static_cast<float*>(kv.values) + slots[i] * width, values + i * width, bytes);
    }
  } else if (kv.type == KvType::kBfloat16) {
    const auto round = Kernels().round_to_bfloat16;
    for (int64_t i = 0; i < n; i++) {
      round(static_cast<uint16_t*>(kv.keys) + slots[i] * width, keys + i * width, width);
      round(static_cast<uint16_t*>(kv.values) + slots[i] * width, values + i * width, width);
    }
  } else {
    const auto quantize = Kernels().quantize_heads;
    for (int64_t i = 0; i < n; i++) {
      const int64_t head = slots[i] * kv.kv_heads;
      quantize(static_cast<int8_t*>(kv.keys) + slots[i] * width, kv.key_scales + head, keys + i * width, kv.kv_heads, kv.head_dim);
      quantize(static_cast<int8_t*>(kv.values) + slots[i] * width, kv.value_scales + head, values + i * width, kv.kv_heads, kv.head_dim);
    }
  }
}

void KvRead(const KvLayer& kv, float* keys, float* values, const int32_t* slots, int64_t n) {
  const int64_t width = kv.kv_heads * kv.head_dim;
  for (int64_t i = 0; i < n; i++) {
    ReadRow(kv.type, keys + i * width, kv.keys, kv.key_scales, slots[i], kv.kv_heads, kv.head_dim);
    ReadRow(kv.type, values + i * width, kv.values, kv.value_scales, slots[i], kv.kv_heads, kv.head_dim);
  }
}

}  // namespace octavo
