// The shapes of AMX's eight tiles. Included only by files compiled for AMX; everything is internal to each.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace octavo {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

inline void LoadTileConfig(const TileConfig& config) {
  // Not _tile_loadconfig: GCC's says that it reads 8 of the 64 bytes, and the compiler may drop what fills the others.
  __asm__ __volatile__("ldtilecfg %0" ::"m"(config));
}

/// Before tiles are loaded from memory that was just written: the intrinsics do not tell the compiler what they read.
inline void SettleMemory() { __asm__ __volatile__("" ::: "memory"); }

}  // namespace
}  // namespace octavo
