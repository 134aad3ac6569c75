#include "kv_write_rows.h"

namespace octavo {

void RoundToBfloat16Neon(uint16_t* to, const float* from, int64_t n) { RoundRow(to, from, n); }

void QuantizeHeadsNeon(int8_t* to, float* scales, const float* from, int64_t heads, int64_t head_dim) {
  const auto size = static_cast<size_t>(head_dim);
  for (int64_t h = 0; h < heads; h++) scales[h] = QuantizeHead(to + h * head_dim, from + h * head_dim, size);
}

}  // namespace octavo
