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

// As the intrinsics, but with tile numbers that may depend on template arguments (GCC's must be literals), and in the
// order in which they are written among other accesses to memory.

template <int kTile>
[[gnu::always_inline]] inline void TileZero() {
  __asm__ __volatile__("tilezero %%tmm%c0" ::"i"(kTile));
}

template <int kTile>
[[gnu::always_inline]] inline void TileLoad(const void* from, int64_t stride) {
  __asm__ __volatile__("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(from), "r"(stride) : "memory");
}

template <int kTile>
[[gnu::always_inline]] inline void TileStore(void* to, int64_t stride) {
  __asm__ __volatile__("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(to), "r"(stride) : "memory");
}

/// sums += codes (signed bytes) x weights (signed bytes).
template <int kSums, int kCodes, int kWeights>
[[gnu::always_inline]] inline void TileProduct() {
  __asm__ __volatile__("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kCodes), "i"(kWeights));
}

}  // namespace
}  // namespace octavo
