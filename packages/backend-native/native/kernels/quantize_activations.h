// Activations in int8, one scale per row and block of 32.
#pragma once

#include <cstdint>

namespace octavo {

constexpr int64_t kTileTokens = 16;

/// Rows in tiles of 16 tokens; within a tile, block by block:
///
///     codes        [tile][block][tokens of the tile][32]
///     everything else [tile][block][tokens of the tile]
///
/// so that a kernel walks one tile and one weight panel in step, whatever the tile's number of tokens.
struct QuantizedActivations {
  int64_t n;
  int64_t cols;
  int64_t blocks;
  int8_t* codes;  // in [-127, 127]; 512 readable bytes behind the last (a kernel may load a whole tile of 16 tokens)
  float* scales;  // x = code * scale
  float* scaled_sums;    // scale * sum of the block's codes
  int32_t* corrections;  // [part][same order]: -bias * sum of the part's codes, part stride = n * blocks

  [[gnu::always_inline]] int64_t NumTiles() const { return (n + kTileTokens - 1) / kTileTokens; }
  [[gnu::always_inline]] int64_t TokensOf(int64_t tile) const {
    return n - tile * kTileTokens < kTileTokens ? n - tile * kTileTokens : kTileTokens;
  }
};

struct QuantizeOptions {
  int bias;   // see corrections
  int parts;  // 1, or 2: sums over halves of a block
};

// Tokens [begin, end), the first of them at x, are quantized with scale = max|x| / 127, codes rounded to nearest even. A
// block whose largest magnitude is below 2^-100 becomes zeros; one with a NaN or an infinity gets zero codes and that scale,
// so that it spoils every output that it reaches.

constexpr float kSmallestQuantized = 7.888609052210118e-31f;  // 2^-100

/// Largest magnitude by its bits: a NaN counts as larger than infinity.
static inline float MaxMagnitude(const float* x, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    __builtin_memcpy(&bits, x + i, 4);
    bits &= 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  float value;
  __builtin_memcpy(&value, &largest, 4);
  return value;
}

}  // namespace octavo
