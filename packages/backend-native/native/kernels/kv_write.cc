#include <cstring>

#include "ops.h"

namespace octavo {

void KvWrite(KvLayer kv, const float* keys, const float* values, const int32_t* slots, int64_t n, int64_t width) {
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  for (int64_t i = 0; i < n; i++) {
    std::memcpy(kv.keys + slots[i] * width, keys + i * width, bytes);
    std::memcpy(kv.values + slots[i] * width, values + i * width, bytes);
  }
}

}  // namespace octavo
