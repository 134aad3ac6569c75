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
  if (code_bits < 4) {
    const int pair = lane[64 * (g / 4) + i] >> (2 * (g % 4)) & 3;
    return code_bits == 2 ? pair : pair | (lane[128 + i] >> g & 1) << 2;
  }
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

/// Of a grouped weight, as stored.
float GroupScale(const GroupedLayout& layout, const uint8_t* scales, int64_t r) {
  if (layout.scale_format == Format::kFloat16) return Float16At(scales, r);
  const bool is_whole = layout.scale_format == Format::kFloat32;
  uint32_t bits = 0;
  std::memcpy(reinterpret_cast<uint8_t*>(&bits) + (is_whole ? 0 : 2), scales + (is_whole ? 4 : 2) * r, is_whole ? 4 : 2);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

RowScales ReadScales(const QuantPanels& w, int64_t panel, int64_t b, int64_t r) {
  const ScaleKind kind = TraitsOf(w.kind).scales;
  const uint8_t* scales = w.Scales(panel);
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
    case ScaleKind::kGroup:
    case ScaleKind::kGroupZero: {
      const float scale = GroupScale(w.grouped, scales + w.GroupOffset<ScaleKind::kGroup>(b, 0), r);
      return {{scale, scale}, 0.0f};
    }
    case ScaleKind::kGroupHalves:
      return {{GroupScale(w.grouped, scales + w.GroupOffset<ScaleKind::kGroupHalves>(b, 0), r),
               GroupScale(w.grouped, scales + w.GroupOffset<ScaleKind::kGroupHalves>(b, 1), r)},
              0.0f};
  }
  return {{0.0f, 0.0f}, 0.0f};
}

/// What is subtracted from a signed code, its offset apart.
int ReadZero(const QuantPanels& w, int64_t panel, int64_t b, int64_t r) {
  const PanelTraits& traits = TraitsOf(w.kind);
  if (!HasZeros(traits.scales)) return 0;
  const int64_t group = w.GroupOffset<ScaleKind::kGroupZero>(b, 0);
  return w.Scales(panel)[group + w.grouped.group_bytes - kPanelRows + r] - SignedZeroOffset(traits);
}

float E4m3ToFloat(int code) {
  const float magnitude = static_cast<float>(code >> 3 & 15 ? 8 + (code & 7) : code & 7);
  const int exponent = (code >> 3 & 15 ? code >> 3 & 15 : 1) - 10;
  return std::ldexp(code & 0x80 ? -magnitude : magnitude, exponent);
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
  const PanelTraits& traits = TraitsOf(w.kind);
  const uint8_t* codes = w.Codes(panel) + block * CodeBytesPerBlock(traits.code_bits);
  const bool is_table = traits.codes == CodeKind::kTable;
  for (int r = 0; r < 16; r++) {
    for (int k = 0; k < 32; k++) {
      const int code = CodeAt(traits.code_bits, codes + 4 * r, k);
      out->codes[r][k] = is_table ? w.grouped.table[code] : static_cast<int8_t>(code - traits.offset);
    }
    const RowScales scales = ReadScales(w, panel, block, r);
    for (int half = 0; half < 2; half++) out->scales[half][r] = is_table ? scales.halves[half] * w.grouped.unit : scales.halves[half];
    out->mins[r] = scales.min;
    out->zeros[r] = ReadZero(w, panel, block, r);
  }
}

void WidenBlockRow(const QuantPanels& w, int64_t panel, int64_t block, int64_t r, float* out) {
  const PanelTraits& traits = TraitsOf(w.kind);
  const uint8_t* lane = w.Codes(panel) + block * CodeBytesPerBlock(traits.code_bits) + 4 * r;
  const RowScales scales = ReadScales(w, panel, block, r);
  const int zero = ReadZero(w, panel, block, r);
  for (int k = 0; k < 32; k++) {
    const int code = CodeAt(traits.code_bits, lane, k);
    const float value = traits.codes == CodeKind::kInteger ? static_cast<float>(code - traits.offset - zero)
                        : traits.codes == CodeKind::kE4m3  ? E4m3ToFloat(code & 255)
                                                           : w.grouped.values[code];
    const float scaled = value * scales.halves[k / 16];
    // Blocks: the product is exact in float32, so that one rounding happens here or there, with or without a fused add.
    out[k] = HasMin(traits.scales) ? scaled + scales.min : scaled;
  }
}

void WidenPanelRow(const QuantPanels& w, int64_t row, float* out) {
  for (int64_t b = 0; b < w.blocks; b++) WidenBlockRow(w, row / kPanelRows, b, row % kPanelRows, out + b * kBlock);
}

}  // namespace octavo
