// Packing with vectors V of sixteen 32-bit lanes, one row each. V::Gather takes 16 bytes of rows i, i + 4, i + 8 and
// i + 12, so that transposing 4 x 4 words inside every 16 bytes leaves the rows in order. Internal linkage throughout.
#pragma once

#include <cstdint>
#include <cstring>

#include "linear_quant.h"
#include "pack_panel.h"
#include "pack_panel_scales.h"

namespace octavo {
namespace {

/// Word i of sixteen rows, for four neighbouring i.
template <class V>
struct Words {
  V at[4];
};

template <class V>
inline Words<V> TransposeWords(const uint8_t* const* rows, int64_t offset) {
  const V a = V::Gather(rows, offset), b = V::Gather(rows + 1, offset);
  const V c = V::Gather(rows + 2, offset), d = V::Gather(rows + 3, offset);
  const V ab = V::Low32(a, b), cd = V::Low32(c, d), ab_high = V::High32(a, b), cd_high = V::High32(c, d);
  return {{V::Low64(ab, cd), V::High64(ab, cd), V::Low64(ab_high, cd_high), V::High64(ab_high, cd_high)}};
}

template <class V>
inline void StoreWords(const Words<V>& words, uint8_t* out) {
  for (int q = 0; q < 4; q++) words.at[q].Store(out + 64 * q);
}

/// The nibbles of 32 bytes of every row: the low ones are one block's codes, the high ones another's.
template <class V>
inline void PackNibblePair(const uint8_t* const* rows, int64_t offset, uint8_t* low_block, uint8_t* high_block) {
  const Words<V> first = TransposeWords<V>(rows, offset), second = TransposeWords<V>(rows, offset + 16);
  for (int q = 0; q < 4; q++) {
    const V a = first.at[q], b = second.at[q];
    ((a & 0x0f0f0f0f) | (b & 0x0f0f0f0f) << 4).Store(low_block + 64 * q);
    ((a >> 4 & 0x0f0f0f0f) | (b & 0xf0f0f0f0)).Store(high_block + 64 * q);
  }
}

/// Swaps, in every byte, the fields of `a` chosen by ~mask with those of `b` chosen by mask, `shift` bits apart.
template <class V>
inline void SwapFields(V& a, V& b, uint32_t mask, int shift) {
  const V low = (a & mask) | (b & mask) << shift;
  b = (a >> shift & mask) | (b & ~mask);
  a = low;
}

/// The bits of 32 whose number has bit `low` and not bit `high`.
constexpr uint32_t MovedUp(int low, int high) {
  uint32_t mask = 0;
  for (int bit = 0; bit < 32; bit++) {
    if ((bit >> low & 1) == 1 && (bit >> high & 1) == 0) mask |= uint32_t{1} << bit;
  }
  return mask;
}

/// In every 32 bits, moves each bit to where bits `high` and `low` of its number are swapped.
template <int kHigh, int kLow, class V>
inline V SwapNumberBits(V x) {
  constexpr int kShift = (1 << kHigh) - (1 << kLow);
  constexpr uint32_t kMask = MovedUp(kLow, kHigh);
  const V moved = ((x >> kShift) ^ x) & kMask;
  return x ^ moved ^ moved << kShift;
}

/// In every 32 bits: bit 4 * g + i -> bit 8 * i + g.
template <class V>
inline V SpreadFifthBits(V x) {
  return SwapNumberBits<1, 0>(SwapNumberBits<2, 1>(SwapNumberBits<3, 0>(SwapNumberBits<4, 1>(x))));
}

template <class V>
inline void PackFifthBits(const uint8_t* const* rows, int64_t offset, uint8_t* out) {
  alignas(64) uint32_t fifth[kPackedRows];
  for (int64_t r = 0; r < kPackedRows; r++) fifth[r] = Uint32At(rows[r] + offset);
  SpreadFifthBits(V::Load(fifth)).Store(out);
}

/// Bit j of a byte is block j's fifth bit of an element -> block j's vector with bit g for group g.
template <class V>
inline void PackFifthPlanes(const uint8_t* const* rows, int64_t offset, uint8_t* blocks, int64_t block_bytes) {
  const Words<V> first = TransposeWords<V>(rows, offset), second = TransposeWords<V>(rows, offset + 16);
  V planes[8] = {first.at[0],  first.at[1],  first.at[2],  first.at[3],
                 second.at[0], second.at[1], second.at[2], second.at[3]};
  constexpr uint32_t kMasks[3] = {0x55555555, 0x33333333, 0x0f0f0f0f};
  for (int stage = 0; stage < 3; stage++) {
    const int step = 1 << stage;
    for (int g = 0; g < 8; g++) {
      if ((g & step) == 0) SwapFields(planes[g], planes[g + step], kMasks[stage], step);
    }
  }
  for (int j = 0; j < 8; j++) planes[j].Store(blocks + j * block_bytes + 256);
}

/// As PackFifthPlanes for Q6_K's upper two bits: four blocks, 16 elements of each.
template <class V>
inline void PackUpperPairs(const uint8_t* const* rows, int64_t offset, uint8_t* out, int64_t block_bytes) {
  Words<V> planes = TransposeWords<V>(rows, offset);
  SwapFields(planes.at[0], planes.at[1], 0x33333333, 2);
  SwapFields(planes.at[2], planes.at[3], 0x33333333, 2);
  SwapFields(planes.at[0], planes.at[2], 0x0f0f0f0f, 4);
  SwapFields(planes.at[1], planes.at[3], 0x0f0f0f0f, 4);
  for (int j = 0; j < 4; j++) planes.at[j].Store(out + j * block_bytes);
}

/// The codes of one stored block of sixteen rows; `o` is where it begins in them.
template <class V, PanelKind kKind>
inline void PackCodes(const uint8_t* const* rows, int64_t o, uint8_t* out) {
  constexpr int64_t kBytes = CodeBytesPerBlock(TraitsOf(kKind).code_bits);
  switch (kKind) {
    case PanelKind::kQ8_0:
      StoreWords(TransposeWords<V>(rows, o + 2), out);
      return StoreWords(TransposeWords<V>(rows, o + 18), out + 256);
    case PanelKind::kQ4_0:
      return StoreWords(TransposeWords<V>(rows, o + 2), out);
    case PanelKind::kQ4_1:
      return StoreWords(TransposeWords<V>(rows, o + 4), out);
    case PanelKind::kQ5_0:
      StoreWords(TransposeWords<V>(rows, o + 6), out);
      return PackFifthBits<V>(rows, o + 2, out + 256);
    case PanelKind::kQ5_1:
      StoreWords(TransposeWords<V>(rows, o + 8), out);
      return PackFifthBits<V>(rows, o + 4, out + 256);
    case PanelKind::kQ4_K:
      for (int j = 0; j < 8; j += 2) PackNibblePair<V>(rows, o + 16 + 16 * j, out + j * kBytes, out + (j + 1) * kBytes);
      return;
    case PanelKind::kQ5_K:
      for (int j = 0; j < 8; j += 2) PackNibblePair<V>(rows, o + 48 + 16 * j, out + j * kBytes, out + (j + 1) * kBytes);
      return PackFifthPlanes<V>(rows, o + 16, out, kBytes);
    case PanelKind::kQ6_K:
      for (int h = 0; h < 2; h++) {
        uint8_t* blocks = out + 4 * h * kBytes;
        PackNibblePair<V>(rows, o + 64 * h, blocks, blocks + 2 * kBytes);
        PackNibblePair<V>(rows, o + 64 * h + 32, blocks + kBytes, blocks + 3 * kBytes);
        PackUpperPairs<V>(rows, o + 128 + 32 * h, blocks + 256, kBytes);
        PackUpperPairs<V>(rows, o + 144 + 32 * h, blocks + 320, kBytes);
      }
      return;
    default:
      return;
  }
}

template <class V, PanelKind kKind>
void PackRows(const uint8_t* const* rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr int64_t kBytes = kTraits.stored_block / kBlock * CodeBytesPerBlock(kTraits.code_bits);
  for (int64_t s = 0; s < cols / kTraits.stored_block; s++) {
    const int64_t offset = s * kTraits.stored_bytes;
    PackCodes<V, kKind>(rows, offset, codes + s * kBytes);
    for (int64_t r = 0; r < kPackedRows; r++) PutScales<kKind>(rows[r] + offset, s, r, scales);
  }
}

template <class V>
void PackQuant(PanelKind kind, const uint8_t* const* rows, int64_t cols, uint8_t* codes, uint8_t* scales) {
  switch (kind) {
    case PanelKind::kQ8_0:
      return PackRows<V, PanelKind::kQ8_0>(rows, cols, codes, scales);
    case PanelKind::kQ4_0:
      return PackRows<V, PanelKind::kQ4_0>(rows, cols, codes, scales);
    case PanelKind::kQ4_1:
      return PackRows<V, PanelKind::kQ4_1>(rows, cols, codes, scales);
    case PanelKind::kQ5_0:
      return PackRows<V, PanelKind::kQ5_0>(rows, cols, codes, scales);
    case PanelKind::kQ5_1:
      return PackRows<V, PanelKind::kQ5_1>(rows, cols, codes, scales);
    case PanelKind::kQ4_K:
      return PackRows<V, PanelKind::kQ4_K>(rows, cols, codes, scales);
    case PanelKind::kQ5_K:
      return PackRows<V, PanelKind::kQ5_K>(rows, cols, codes, scales);
    case PanelKind::kQ6_K:
      return PackRows<V, PanelKind::kQ6_K>(rows, cols, codes, scales);
    default:
      return;
  }
}

/// As PutCodes of isa/scalar/pack_panel.h, of sixteen rows.
template <class V, int kBits>
void PackByteRows(const uint8_t* const* rows, int64_t cols, uint8_t* out) {
  constexpr uint32_t kNibble = 0x0f0f0f0f, kPair = 0x03030303, kBit = 0x01010101;
  for (int64_t k = 0; k < cols; k += kBlock, out += CodeBytesPerBlock(kBits)) {
    const Words<V> halves[2] = {TransposeWords<V>(rows, k), TransposeWords<V>(rows, k + 16)};
    const auto group = [&](int g) { return halves[g / 4].at[g % 4]; };
    const auto pairs = [&](int half, int shift) {
      V all = group(4 * half) >> shift & kPair;
      for (int j = 1; j < 4; j++) all = all | (group(4 * half + j) >> shift & kPair) << (2 * j);
      return all;
    };
    const auto bits = [&](int shift) {
      V all = group(0) >> shift & kBit;
      for (int g = 1; g < 8; g++) all = all | (group(g) >> shift & kBit) << g;
      return all;
    };
    if constexpr (kBits == 8) {
      for (int g = 0; g < 8; g++) group(g).Store(out + 64 * g);
    } else if constexpr (kBits < 4) {
      for (int half = 0; half < 2; half++) pairs(half, 0).Store(out + 64 * half);
      if constexpr (kBits == 3) bits(2).Store(out + 128);
    } else {
      for (int q = 0; q < 4; q++) ((group(q) & kNibble) | (group(q + 4) & kNibble) << 4).Store(out + 64 * q);
      if constexpr (kBits == 5) bits(4).Store(out + 256);
      if constexpr (kBits == 6) {
        for (int half = 0; half < 2; half++) pairs(half, 4).Store(out + 256 + 64 * half);
      }
    }
  }
}

template <class V>
void PackBytes(int code_bits, const uint8_t* const* rows, int64_t cols, uint8_t* codes) {
  switch (code_bits) {
    case 2:
      return PackByteRows<V, 2>(rows, cols, codes);
    case 3:
      return PackByteRows<V, 3>(rows, cols, codes);
    case 4:
      return PackByteRows<V, 4>(rows, cols, codes);
    case 5:
      return PackByteRows<V, 5>(rows, cols, codes);
    case 6:
      return PackByteRows<V, 6>(rows, cols, codes);
    default:
      return PackByteRows<V, 8>(rows, cols, codes);
  }
}

template <class V>
void PackWords(const uint8_t* const* rows, int64_t offset, int64_t count, uint8_t* out, int64_t stride) {
  const int64_t whole = count / 4 * 4;
  for (int64_t i = 0; i < whole; i += 4) {
    const Words<V> words = TransposeWords<V>(rows, offset + 4 * i);
    for (int q = 0; q < 4; q++) words.at[q].Store(out + (i + q) * stride);
  }
  kPackKernelsScalar.words(rows, offset + 4 * whole, count - whole, out + whole * stride, stride);
}

template <class V>
void PackHalves(const uint8_t* const* rows, int64_t offset, int64_t count, uint8_t* out, int64_t stride) {
  const int64_t whole = count / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8) {
    const Words<V> words = TransposeWords<V>(rows, offset + 2 * i);
    for (int q = 0; q < 4; q++) {
      words.at[q].StoreLowHalves(out + (i + 2 * q) * stride);
      (words.at[q] >> 16).StoreLowHalves(out + (i + 2 * q + 1) * stride);
    }
  }
  kPackKernelsScalar.halves(rows, offset + 2 * whole, count - whole, out + whole * stride, stride);
}

template <class V>
PackKernels MakePackKernels() {
  return {PackQuant<V>, PackBytes<V>, PackWords<V>, PackHalves<V>};
}

}  // namespace
}  // namespace octavo
