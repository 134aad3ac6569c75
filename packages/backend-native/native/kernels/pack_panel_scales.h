// The scales of stored blocks, put where the panels of linear_quant.h keep them. Internal linkage throughout: files
// compiled for different instruction sets include this.
#pragma once

#include <cstdint>
#include <cstring>

#include "linear_quant.h"

namespace octavo {
namespace {

inline uint32_t Uint32At(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, 4);
  return value;
}

inline void PutUint16(uint8_t* array, int64_t index, const uint8_t* from) { std::memcpy(array + 2 * index, from, 2); }

/// The eight 6-bit scales and minima of the 12 bytes of Q4_K and Q5_K: 0..3 in the low 6 bits of bytes 0..7, 4..7 in
/// the nibbles of bytes 8..11 with their upper two bits atop bytes 0..7. All bytes of a word at once.
inline void UnpackKScales(const uint8_t* packed, uint8_t* scales, uint8_t* mins) {
  constexpr uint32_t kLow6 = 0x3f3f3f3f, kLow4 = 0x0f0f0f0f, kLow2 = 0x03030303;
  const uint32_t a = Uint32At(packed), b = Uint32At(packed + 4), c = Uint32At(packed + 8);
  const uint32_t words[4] = {a & kLow6, (c & kLow4) | (a >> 6 & kLow2) << 4, b & kLow6,
                             (c >> 4 & kLow4) | (b >> 6 & kLow2) << 4};
  std::memcpy(scales, words, 8);
  std::memcpy(mins, words + 2, 8);
}

/// Of one stored block, the row's `s`th.
template <PanelKind kKind>
inline void PutScales(const uint8_t* stored, int64_t s, int64_t row, uint8_t* panel_scales) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  constexpr ScaleKind kScales = kTraits.scales;
  const int64_t first_block = s * (kTraits.stored_block / kBlock);
  uint8_t* at = panel_scales + BlockScaleOffset(kScales, first_block);
  uint8_t* shared = panel_scales + SuperScaleOffset(kScales, first_block);
  switch (kScales) {
    case ScaleKind::kBlockScale:
      return PutUint16(at, row, stored);
    case ScaleKind::kBlockScaleMin:
      PutUint16(at, row, stored);
      return PutUint16(at, 16 + row, stored + 2);
    case ScaleKind::kSuperScaleMin: {
      PutUint16(shared, row, stored);
      PutUint16(shared, 16 + row, stored + 2);
      uint8_t scales[8], mins[8];
      UnpackKScales(stored + 4, scales, mins);
      for (int j = 0; j < 8; j++) {
        at[32 * j + row] = scales[j];
        at[32 * j + 16 + row] = mins[j];
      }
      return;
    }
    case ScaleKind::kSuperHalves:
      PutUint16(shared, row, stored + 208);
      for (int j = 0; j < 16; j++) at[16 * j + row] = stored[192 + j];
      return;
    default:
      return;
  }
}

}  // namespace
}  // namespace octavo
