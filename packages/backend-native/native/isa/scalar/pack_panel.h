#pragma once

#include <cstring>

#include "kernels/linear_quant.h"
#include "kernels/pack_panel.h"
#include "kernels/pack_panel_scales.h"

namespace octavo {
namespace {

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
template <PanelKind kKind>
void StoredCodes(const uint8_t* stored, int j, uint8_t* codes) {
  switch (kKind) {
    case PanelKind::kQ8_0:
      std::memcpy(codes, stored + 2, 32);
      return;
    case PanelKind::kQ4_0:
      return SplitNibbles(stored + 2, codes);
    case PanelKind::kQ4_1:
      return SplitNibbles(stored + 4, codes);
    case PanelKind::kQ5_0:
      SplitNibbles(stored + 6, codes);
      return AddFifthBits(Uint32At(stored + 2), codes);
    case PanelKind::kQ5_1:
      SplitNibbles(stored + 8, codes);
      return AddFifthBits(Uint32At(stored + 4), codes);
    case PanelKind::kQ4_K:
      for (int i = 0; i < 32; i++) codes[i] = stored[16 + 32 * (j / 2) + i] >> (4 * (j & 1)) & 15;
      return;
    case PanelKind::kQ5_K:
      for (int i = 0; i < 32; i++) {
        const int low = stored[48 + 32 * (j / 2) + i] >> (4 * (j & 1)) & 15;
        codes[i] = static_cast<uint8_t>(low | (stored[16 + i] >> j & 1) << 4);
      }
      return;
    case PanelKind::kQ6_K:
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
  if constexpr (kBits < 4) {
    for (int half = 0; half < 2; half++) {
      uint32_t pairs = 0;
      for (int j = 0; j < 4; j++) pairs |= (Group(codes, 4 * half + j) & kPair) << (2 * j);
      PutGroup(pairs, lane + 64 * half);
    }
    if constexpr (kBits == 3) {
      uint32_t third = 0;
      for (int g = 0; g < 8; g++) third |= (Group(codes, g) >> 2 & kBit) << g;
      PutGroup(third, lane + 128);
    }
    return;
  }
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

template <PanelKind kKind>
void PackRows(const uint8_t* const* rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int64_t kBlocks = kTraits.stored_block / kBlock;
  constexpr int64_t kBlockCodes = CodeBytesPerBlock(kTraits.code_bits);
  uint8_t plain[32];
  // Rows inside: the block of the panel that they fill stays in the first-level cache.
  for (int64_t s = 0; s < cols / kTraits.stored_block; s++) {
    for (int64_t r = 0; r < kPackedRows; r++) {
      const uint8_t* from = rows[r] + s * kTraits.stored_bytes;
      PutScales<kKind>(from, s, r, scales);
      for (int j = 0; j < kBlocks; j++) {
        StoredCodes<kKind>(from, j, plain);
        PutCodes<kTraits.code_bits>(plain, r, codes + (s * kBlocks + j) * kBlockCodes);
      }
    }
  }
}

void PackQuant(PanelKind kind, const uint8_t* const* rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  switch (kind) {
    case PanelKind::kQ8_0:
      return PackRows<PanelKind::kQ8_0>(rows, cols, codes, scales);
    case PanelKind::kQ4_0:
      return PackRows<PanelKind::kQ4_0>(rows, cols, codes, scales);
    case PanelKind::kQ4_1:
      return PackRows<PanelKind::kQ4_1>(rows, cols, codes, scales);
    case PanelKind::kQ5_0:
      return PackRows<PanelKind::kQ5_0>(rows, cols, codes, scales);
    case PanelKind::kQ5_1:
      return PackRows<PanelKind::kQ5_1>(rows, cols, codes, scales);
    case PanelKind::kQ4_K:
      return PackRows<PanelKind::kQ4_K>(rows, cols, codes, scales);
    case PanelKind::kQ5_K:
      return PackRows<PanelKind::kQ5_K>(rows, cols, codes, scales);
    case PanelKind::kQ6_K:
      return PackRows<PanelKind::kQ6_K>(rows, cols, codes, scales);
    default:
      return;
  }
}

template <int kBits>
void PackByteRows(const uint8_t* const* rows, int64_t cols, uint8_t* codes) {
  for (int64_t k = 0; k < cols; k += kBlock, codes += CodeBytesPerBlock(kBits)) {
    for (int64_t r = 0; r < kPackedRows; r++) PutCodes<kBits>(rows[r] + k, r, codes);
  }
}

void PackBytes(int code_bits, const uint8_t* const* rows, int64_t cols, uint8_t* codes) {
  switch (code_bits) {
    case 2:
      return PackByteRows<2>(rows, cols, codes);
    case 3:
      return PackByteRows<3>(rows, cols, codes);
    case 4:
      return PackByteRows<4>(rows, cols, codes);
    case 5:
      return PackByteRows<5>(rows, cols, codes);
    case 6:
      return PackByteRows<6>(rows, cols, codes);
    default:
      return PackByteRows<8>(rows, cols, codes);
  }
}

template <int64_t kBytes>
void Transpose(const uint8_t* const* rows, int64_t offset, int64_t count, uint8_t* out, int64_t stride) {
  // Sixteen elements of every row at a time: a cache line of each stored row is used up while it is near.
  constexpr int64_t kStrip = 16;
  for (int64_t start = 0; start < count; start += kStrip) {
    const int64_t end = start + kStrip < count ? start + kStrip : count;
    for (int64_t r = 0; r < kPackedRows; r++) {
      for (int64_t i = start; i < end; i++)
        std::memcpy(out + i * stride + kBytes * r, rows[r] + offset + kBytes * i, kBytes);
    }
  }
}

}  // namespace

const PackKernels kPackKernelsScalar = {PackQuant, PackBytes, Transpose<4>, Transpose<2>};

}  // namespace octavo
