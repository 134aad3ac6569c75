#pragma once

#include "kernels/quantize_activations.h"

#include <cmath>

namespace octavo {
namespace {

void QuantizeActivationsScalar(const QuantizedActivations& out, const float* x, int64_t begin, int64_t end,
                               QuantizeOptions options) {
  const int64_t part_stride = out.n * out.blocks;
  for (int64_t token = begin; token < end; token++) {
    const int64_t tile = token / kTileTokens;
    const int64_t tokens = out.TokensOf(tile);
    for (int64_t b = 0; b < out.blocks; b++) {
      const float* from = x + (token - begin) * out.cols + b * 32;
      const int64_t at = tile * kTileTokens * out.blocks + b * tokens + token % kTileTokens;
      const float largest = MaxMagnitude(from, 32);
      const bool is_zero = largest < kSmallestQuantized;
      const float inverse = is_zero || !std::isfinite(largest) ? 0.0f : 127.0f / largest;
      int32_t sums[2] = {0, 0};
      for (int i = 0; i < 32; i++) {
        const int32_t code = inverse == 0.0f ? 0 : static_cast<int32_t>(std::lrintf(from[i] * inverse));
        out.codes[at * 32 + i] = static_cast<int8_t>(code);
        sums[i / 16] += code;
      }
      const float scale = is_zero ? 0.0f : largest / 127.0f;
      out.scales[at] = scale;
      out.scaled_sums[at] = scale * static_cast<float>(sums[0] + sums[1]);
      if (options.parts == 1) sums[0] += sums[1];
      for (int part = 0; part < options.parts; part++)
        out.corrections[part * part_stride + at] = -options.bias * sums[part];
    }
  }
}

}  // namespace
}  // namespace octavo
