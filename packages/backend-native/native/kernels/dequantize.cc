#include "dequantize.h"

#include <cmath>
#include <cstring>

namespace octavo {

namespace {

float Float16At(const uint8_t* array, int64_t index) {
  uint16_t bits;
  std::memcpy(&bits, array + 2 * index, 2);
  return Float16ToFloat(bits);
}

int CodeAt(int code_bits, const uint8_t* lane, int k) {
  const int g = k / 4;
  const int i = k % 4;
  if (code_bits == 8) return static_cast<int8_t>(lane[64 * g + i]);
  const int low = lane[64 * (g % 4) + i] >> (g < 4 ? 0 : 4) & 15;
  if (code_bits == 5) return low | (lane[256 + i] >> g & 1) << 4;
  if (code_bits == 6) return low | (lane[256 + 64 * (g / 4) + i] >> (2 * (g % 4)) & 3) << 4;
  return low;
}

/// Row `r`'s scales of block `b`: {first half, second half, minimum to add}.
struct RowScales {
  float halves[2];
  float min;
};

RowScales ReadScales(ScaleKind kind, const uint8_t* scales, int64_t b, int64_t r) {
  const uint8_t* at = scales + BlockScaleOffset(kind, b);
  const uint8_t* shared = scales + SuperScaleOffset(kind, b);
  switch (kind) {
    case ScaleKind::kBlockScale: {
      const float scale = Float16At(at, r);
      return {{scale, scale}, 0.0f};
    }
    case ScaleKind::kBlockScaleMin: {
      const float scale = Float16At(at, r);
      return {{scale, scale}, Float16At(at, 16 + r)};
    }
    case ScaleKind::kSuperScaleMin: {
      const float scale = Float16At(shared, r) * static_cast<float>(at[r]);
      return {{scale, scale}, -(Float16At(shared, 16 + r) * static_cast<float>(at[16 + r]))};
    }
    case ScaleKind::kSuperHalves: {
      const float d = Float16At(shared, r);
      return {
          {d * static_cast<float>(static_cast<int8_t>(at[r])), d * static_cast<float>(static_cast<int8_t>(at[16 + r]))},
          0.0f};
    }
  }
  return {{0.0f, 0.0f}, 0.0f};
}

}  // namespace

float Float16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t mantissa = bits & 1023;
  uint32_t wide;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&wide, &magnitude, 4);
    wide |= sign;
  } else {
    wide = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  }
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

void ReadPanelBlock(const QuantPanels& w, int64_t panel, int64_t block, PlainBlock* out) {
  const QuantTraits traits = TraitsOf(w.format);
  const uint8_t* codes = w.Codes(panel) + block * CodeBytesPerBlock(traits.code_bits);
  for (int r = 0; r < 16; r++) {
    for (int k = 0; k < 32; k++)
      out->codes[r][k] = static_cast<int8_t>(CodeAt(traits.code_bits, codes + 4 * r, k) - traits.offset);
    const RowScales scales = ReadScales(traits.scales, w.Scales(panel), block, r);
    out->scales[0][r] = scales.halves[0];
    out->scales[1][r] = scales.halves[1];
    out->mins[r] = scales.min;
  }
}

void WidenPanelRow(const QuantPanels& w, int64_t row, float* out) {
  const QuantTraits traits = TraitsOf(w.format);
  const int64_t panel = row / kPanelRows;
  const int64_t r = row % kPanelRows;
  for (int64_t b = 0; b < w.blocks; b++) {
    const uint8_t* lane = w.Codes(panel) + b * CodeBytesPerBlock(traits.code_bits) + 4 * r;
    const RowScales scales = ReadScales(traits.scales, w.Scales(panel), b, r);
    // The product is exact in float32, so that one rounding happens here or there, with or without a fused add.
    for (int k = 0; k < 32; k++) {
      const float scaled =
          static_cast<float>(CodeAt(traits.code_bits, lane, k) - traits.offset) * scales.halves[k / 16];
      out[b * kBlock + k] = HasMin(traits.scales) ? scaled + scales.min : scaled;
    }
  }
}

}  // namespace octavo
