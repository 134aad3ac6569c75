#include "dequantize.h"

#include <cmath>
#include <cstring>

namespace octavo {

namespace {

uint32_t Uint32At(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, 4);
  return value;
}

void PutUint16(uint8_t* array, int64_t index, const uint8_t* from) {
  std::memcpy(array + 2 * index, from, 2);
}

float Float16At(const uint8_t* array, int64_t index) {
  uint16_t bits;
  std::memcpy(&bits, array + 2 * index, 2);
  return Float16ToFloat(bits);
}

/// Sub-block j's scale (and minimum) of the 12 bytes that Q4_K and Q5_K pack eight 6-bit pairs into: 0..3 in the low 6
/// bits of bytes 0..7, 4..7 in the nibbles of bytes 8..11 with their upper two bits atop bytes 0..7.
uint8_t KScale(const uint8_t* packed, int j) {
  return static_cast<uint8_t>(j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4));
}

uint8_t KMin(const uint8_t* packed, int j) {
  return static_cast<uint8_t>(j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4));
}

/// Elements 0..15 in the low nibbles of 16 bytes, 16..31 in the high ones.
void SplitNibbles(const uint8_t* nibbles, uint8_t* codes) {
  for (int i = 0; i < 16; i++) {
    codes[i] = nibbles[i] & 15;
    codes[16 + i] = nibbles[i] >> 4;
  }
}

void AddFifthBits(uint32_t fifth, uint8_t* codes) {
  for (int i = 0; i < 32; i++) codes[i] = static_cast<uint8_t>(codes[i] | ((fifth >> i & 1) << 4));
}

/// Codes of block `j` (32 elements) of a stored block.
template <Format kFormat>
void StoredCodes(const uint8_t* stored, int j, uint8_t* codes) {
  switch (kFormat) {
    case Format::kQ8_0:
      std::memcpy(codes, stored + 2, 32);
      return;
    case Format::kQ4_0:
      return SplitNibbles(stored + 2, codes);
    case Format::kQ4_1:
      return SplitNibbles(stored + 4, codes);
    case Format::kQ5_0:
      SplitNibbles(stored + 6, codes);
      return AddFifthBits(Uint32At(stored + 2), codes);
    case Format::kQ5_1:
      SplitNibbles(stored + 8, codes);
      return AddFifthBits(Uint32At(stored + 4), codes);
    case Format::kQ4_K:
      for (int i = 0; i < 32; i++) codes[i] = stored[16 + 32 * (j / 2) + i] >> (4 * (j & 1)) & 15;
      return;
    case Format::kQ5_K:
      for (int i = 0; i < 32; i++) {
        const int low = stored[48 + 32 * (j / 2) + i] >> (4 * (j & 1)) & 15;
        codes[i] = static_cast<uint8_t>(low | (stored[16 + i] >> j & 1) << 4);
      }
      return;
    case Format::kQ6_K:
      for (int i = 0; i < 32; i++) {
        const int low = stored[64 * (j / 4) + 32 * (j & 1) + i] >> (2 * (j & 2)) & 15;
        const int high = stored[128 + 32 * (j / 4) + i] >> (2 * (j & 3)) & 3;
        codes[i] = static_cast<uint8_t>(low | high << 4);
      }
      return;
    default:
      return;
  }
}

/// Four codes, one per byte.
uint32_t Group(const uint8_t* codes, int g) {
  return Uint32At(codes + 4 * g);
}

void PutGroup(uint32_t group, uint8_t* lane) {
  std::memcpy(lane, &group, 4);
}

/// Writes one row's 32 codes into a block of a panel.
template <int kBits>
void PutCodes(const uint8_t* codes, int64_t row, uint8_t* block) {
  uint8_t* lane = block + 4 * row;
  if constexpr (kBits == 8) {
    for (int g = 0; g < 8; g++) PutGroup(Group(codes, g), lane + 64 * g);
    return;
  }
  constexpr uint32_t kNibble = 0x0f0f0f0f, kPair = 0x03030303, kBit = 0x01010101;
  for (int q = 0; q < 4; q++)
    PutGroup((Group(codes, q) & kNibble) | (Group(codes, q + 4) & kNibble) << 4, lane + 64 * q);
  if constexpr (kBits == 5) {
    uint32_t fifth = 0;
    for (int g = 0; g < 8; g++) fifth |= (Group(codes, g) >> 4 & kBit) << g;
    PutGroup(fifth, lane + 256);
  }
  if constexpr (kBits == 6) {
    for (int half = 0; half < 2; half++) {
      uint32_t upper = 0;
      for (int j = 0; j < 4; j++) upper |= (Group(codes, 4 * half + j) >> 4 & kPair) << (2 * j);
      PutGroup(upper, lane + 256 + 64 * half);
    }
  }
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

template <Format kFormat>
void PutScales(const uint8_t* stored, int64_t first_block, int64_t row, uint8_t* scales) {
  constexpr ScaleKind kKind = TraitsOf(kFormat).scales;
  uint8_t* at = scales + BlockScaleOffset(kKind, first_block);
  uint8_t* shared = scales + SuperScaleOffset(kKind, first_block);
  switch (kKind) {
    case ScaleKind::kBlockScale:
      return PutUint16(at, row, stored);
    case ScaleKind::kBlockScaleMin:
      PutUint16(at, row, stored);
      return PutUint16(at, 16 + row, stored + 2);
    case ScaleKind::kSuperScaleMin:
      PutUint16(shared, row, stored);
      PutUint16(shared, 16 + row, stored + 2);
      for (int j = 0; j < 8; j++) {
        at[32 * j + row] = KScale(stored + 4, j);
        at[32 * j + 16 + row] = KMin(stored + 4, j);
      }
      return;
    case ScaleKind::kSuperHalves:
      PutUint16(shared, row, stored + 208);
      for (int j = 0; j < 16; j++) at[16 * j + row] = stored[192 + j];
      return;
  }
}

template <Format kFormat>
void PackRows(const uint8_t* stored, int64_t rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  constexpr QuantTraits kTraits = TraitsOf(kFormat);
  constexpr int64_t kBlocks = kTraits.stored_block / kBlock;
  const int64_t row_blocks = cols / kTraits.stored_block;
  uint8_t plain[32];
  // Rows inside: the block of the panel that they fill stays in the first-level cache.
  for (int64_t s = 0; s < row_blocks; s++) {
    for (int64_t r = 0; r < rows; r++) {
      const uint8_t* from = stored + (r * row_blocks + s) * kTraits.stored_bytes;
      PutScales<kFormat>(from, s * kBlocks, r, scales);
      for (int j = 0; j < kBlocks; j++) {
        StoredCodes<kFormat>(from, j, plain);
        PutCodes<kTraits.code_bits>(plain, r, codes + (s * kBlocks + j) * CodeBytesPerBlock(kTraits.code_bits));
      }
    }
  }
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

void PackPanel(Format format, const uint8_t* stored, int64_t rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  switch (format) {
    case Format::kQ8_0:
      return PackRows<Format::kQ8_0>(stored, rows, cols, codes, scales);
    case Format::kQ4_0:
      return PackRows<Format::kQ4_0>(stored, rows, cols, codes, scales);
    case Format::kQ4_1:
      return PackRows<Format::kQ4_1>(stored, rows, cols, codes, scales);
    case Format::kQ5_0:
      return PackRows<Format::kQ5_0>(stored, rows, cols, codes, scales);
    case Format::kQ5_1:
      return PackRows<Format::kQ5_1>(stored, rows, cols, codes, scales);
    case Format::kQ4_K:
      return PackRows<Format::kQ4_K>(stored, rows, cols, codes, scales);
    case Format::kQ5_K:
      return PackRows<Format::kQ5_K>(stored, rows, cols, codes, scales);
    case Format::kQ6_K:
      return PackRows<Format::kQ6_K>(stored, rows, cols, codes, scales);
    default:
      return;
  }
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
