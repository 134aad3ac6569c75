#pragma once

#include <type_traits>

#include "isa/amx/tile_config.h"
#include "isa/avx512/linear_quant.h"

namespace octavo {

namespace {

// Tiles: 0..3 sums [16 tokens][16 rows] int32 (even blocks 0, odd ones 1, second halves 2 and 3), 4 and 5 tokens' codes
// [16][k], 6 and 7 weights' codes [k / 4][16 rows x 4].

/// One tile multiplication spans what one scale covers: 32 k, or 16 where halves have scales.
inline void ConfigureTiles(int k) {
  TileConfig config;
  for (int i = 0; i < 4; i++) {
    config.rows[i] = 16;
    config.column_bytes[i] = 64;
  }
  for (int i = 0; i < 2; i++) {
    config.rows[4 + i] = 16;
    config.column_bytes[4 + i] = static_cast<uint16_t>(k);
    config.rows[6 + i] = static_cast<uint8_t>(k / 4);
    config.column_bytes[6 + i] = 64;
  }
  LoadTileConfig(config);
}

/// Signed codes and float scales of one stretch of a panel.
struct Stretch {
  alignas(64) int8_t codes[kChunkBlocks][512];
  alignas(64) float scales[kChunkBlocks][2][16];
  alignas(64) float mins[kChunkBlocks][16];
};

/// `streams`: the weights come from memory, one panel after the other.
template <PanelKind kKind>
void Prepare(const QuantPanels& w, int64_t panel, int64_t begin, int64_t end, bool streams, Stretch* stretch) {
  constexpr PanelTraits kTraits = TraitsOf(kKind);
  const uint8_t* block = w.Codes(panel) + begin * CodeBytesPerBlock(kTraits.code_bits);
  for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits)) {
    if (streams) PrefetchBlock<kKind>(block);
    const Scales512 scales = LoadIntegerScales<kKind>(w, w.Scales(panel), b);
    for (int part = 0; part < PartsOf(kTraits.scales); part++)
      _mm512_store_ps(stretch->scales[b - begin][part], scales.parts[part]);
    if constexpr (HasMin(kTraits.scales)) _mm512_store_ps(stretch->mins[b - begin], scales.min);
    if constexpr (kTraits.code_bits != 8) {
      __m512i codes[8];
      LoadSigned<kKind>(w, block, codes);
      for (int g = 0; g < 8; g++) _mm512_store_si512(stretch->codes[b - begin] + 64 * g, codes[g]);
    }
  }
}

/// One block of a tile of tokens, as ScaleTokens needs it.
struct BlockScales {
  const float (*parts)[16];
  const float* mins;
  const float* x_scales;
  const float* x_sums;
};

/// acc[t] += the integer sums of tokens [kBegin, kEnd), scaled.
template <ScaleKind kScales, int kBegin, int kEnd>
[[gnu::always_inline]] inline void ScaleTokens(const int32_t (*dots)[256], const BlockScales& scales,
                                               __m512 (&acc)[16]) {
  constexpr int kParts = PartsOf(kScales);
  const __m512 first = _mm512_load_ps(scales.parts[0]);
  const __m512 second = kParts == 2 ? _mm512_load_ps(scales.parts[1]) : first;
  const __m512 min = HasMin(kScales) ? _mm512_load_ps(scales.mins) : first;
#pragma GCC unroll 16
  for (int t = kBegin; t < kEnd; t++) {
    const __m512 x_scale = _mm512_set1_ps(scales.x_scales[t]);
    acc[t] =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(dots[0] + 16 * t)), _mm512_mul_ps(first, x_scale), acc[t]);
    if constexpr (kParts == 2) {
      acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(dots[1] + 16 * t)), _mm512_mul_ps(second, x_scale),
                               acc[t]);
    }
    if constexpr (HasMin(kScales)) acc[t] = _mm512_fmadd_ps(_mm512_set1_ps(scales.x_sums[t]), min, acc[t]);
  }
}

// Tile registers are named by constants: these choose by the block's parity.

template <int kParts>
[[gnu::always_inline]] inline void LoadTokens(const int8_t* x_codes) {
  _tile_loadd(4, x_codes, 32);
  if constexpr (kParts == 2) _tile_loadd(5, x_codes + 16, 32);
}

template <int kParts>
[[gnu::always_inline]] inline void LoadWeights(const uint8_t* w_codes) {
  _tile_loadd(6, w_codes, 64);
  if constexpr (kParts == 2) _tile_loadd(7, w_codes + 256, 64);
}

template <int kParts, int kParity>
[[gnu::always_inline]] inline void MultiplyTiles() {
  if constexpr (kParity == 0) {
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
  } else {
    _tile_zero(1);
    _tile_dpbssd(1, 4, 6);
  }
  if constexpr (kParts == 2 && kParity == 0) {
    _tile_zero(2);
    _tile_dpbssd(2, 5, 7);
  }
  if constexpr (kParts == 2 && kParity == 1) {
    _tile_zero(3);
    _tile_dpbssd(3, 5, 7);
  }
}

template <int kParts, int kParity>
[[gnu::always_inline]] inline void StoreTiles(int32_t (*dots)[256]) {
  if constexpr (kParity == 0) {
    _tile_stored(0, dots[0], 64);
    if constexpr (kParts == 2) _tile_stored(2, dots[1], 64);
  } else {
    _tile_stored(1, dots[0], 64);
    if constexpr (kParts == 2) _tile_stored(3, dots[1], 64);
  }
}

/// `blocks` blocks of a panel times a tile of `tokens` tokens, all pointers at the first block; sums [16 tokens][16
/// rows] in and out. A tile of fewer than 16 tokens is computed whole too: what lies behind its tokens is multiplied
/// into sums that nobody reads.
///
/// While vectors scale block b, tiles multiply block b + 2, and the sums of b + 1 go to memory: a tile's way there is
/// long. The two kinds of instruction are mixed finely, which is faster than in turns.
template <ScaleKind kScales>
[[gnu::noinline]] void AddTileAmx(const uint8_t* w_codes, const Stretch& stretch, const int8_t* x_codes,
                                  const float* x_scales, const float* x_sums, int64_t tokens, int64_t blocks,
                                  float (*sums)[16]) {
  constexpr int kParts = PartsOf(kScales);
  alignas(64) int32_t dots[2][kParts][256];
  SettleMemory();
  __m512 acc[16];
#pragma GCC unroll 16
  for (int t = 0; t < 16; t++) acc[t] = _mm512_load_ps(sums[t]);
  BlockScales scales{stretch.scales[0], stretch.mins[0], x_scales, x_sums};
  const auto advance = [&] {
    scales.parts += 2;
    scales.mins += 16;
    scales.x_scales += tokens;
    scales.x_sums += tokens;
  };
  const auto step = [&](auto parity) __attribute__((always_inline)) {
    constexpr int kParity = decltype(parity)::value;
    LoadTokens<kParts>(x_codes);
    ScaleTokens<kScales, 0, 4>(dots[kParity], scales, acc);
    LoadWeights<kParts>(w_codes);
    ScaleTokens<kScales, 4, 8>(dots[kParity], scales, acc);
    MultiplyTiles<kParts, kParity>();
    ScaleTokens<kScales, 8, 16>(dots[kParity], scales, acc);
    StoreTiles<kParts, 1 - kParity>(dots[1 - kParity]);
    x_codes += tokens * 32;
    w_codes += 512;
    advance();
  };
  LoadTokens<kParts>(x_codes);
  LoadWeights<kParts>(w_codes);
  MultiplyTiles<kParts, 0>();
  StoreTiles<kParts, 0>(dots[0]);
  if (blocks > 1) {
    LoadTokens<kParts>(x_codes + tokens * 32);
    LoadWeights<kParts>(w_codes + 512);
    MultiplyTiles<kParts, 1>();
  }
  x_codes += tokens * 64;
  w_codes += 1024;
  int64_t b = 0;
  for (; b + 3 < blocks; b += 2) {
    step(std::integral_constant<int, 0>{});
    step(std::integral_constant<int, 1>{});
  }
  if (b + 2 < blocks) {
    step(std::integral_constant<int, 0>{});
    b++;
  }
  // One or two blocks are left, their sums stored and in tiles.
  if (b + 1 < blocks) {
    if (b % 2 == 0) {
      StoreTiles<kParts, 1>(dots[1]);
    } else {
      StoreTiles<kParts, 0>(dots[0]);
    }
    ScaleTokens<kScales, 0, 16>(dots[b % 2], scales, acc);
    advance();
    b++;
  }
  ScaleTokens<kScales, 0, 16>(dots[b % 2], scales, acc);
#pragma GCC unroll 16
  for (int t = 0; t < 16; t++) _mm512_store_ps(sums[t], acc[t]);
}

// Up to so many tokens in a tile, vectors alone are as fast.
constexpr int64_t kVnniTokens = 8;

struct AmxOutput : Output512 {
  static constexpr int64_t kWholeKTokens = kVnniTokens;
};

template <PanelKind kKind>
void Int8OnTiles(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task) {
  Stretch stretch;
  ConfigureTiles(kBlock / PartsOf(TraitsOf(kKind).scales));
  DriveInt8<AmxOutput>(
      w, x, task,
      [&](int64_t panel, int64_t begin, int64_t end, int64_t tile0, int64_t tile1, float (*sums)[16]) {
        // Only the last tile may be short.
        const int64_t amx_end = x.TokensOf(tile1 - 1) <= kVnniTokens ? tile1 - 1 : tile1;
        if (amx_end > tile0) {
          Prepare<kKind>(w, panel, begin, end, task.tile_end - task.tile_begin <= kDriverTiles, &stretch);
          const uint8_t* codes = TraitsOf(kKind).code_bits == 8 ? w.Codes(panel) + begin * 512
                                                                  : reinterpret_cast<const uint8_t*>(stretch.codes);
          for (int64_t tile = tile0; tile < amx_end; tile++) {
            const int64_t tokens = x.TokensOf(tile);
            const int64_t at = tile * kTileTokens * x.blocks + begin * tokens;
            AddTileAmx<TraitsOf(kKind).scales>(codes, stretch, x.codes + at * 32, x.scales + at, x.scaled_sums + at,
                                                 tokens, end - begin, sums + (tile - tile0) * kTileTokens);
          }
        }
        if (amx_end < tile1)
          AddTileAvx512(w, panel, begin, end, x, amx_end, sums + (amx_end - tile0) * kTileTokens);
      });
  _tile_release();
}

void LinearInt8Amx(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task) {
  WithIntegralKind(w.kind, [&](auto kind) {
    constexpr PanelKind kKind = decltype(kind)::value;
    // A tile's sums lack what is subtracted per row and token.
    if constexpr (HasZeros(TraitsOf(kKind).scales)) {
      Avx512Kernels().quant.int8(w, x, task);
    } else {
      Int8OnTiles<kKind>(w, x, task);
    }
  });
}

}  // namespace
}  // namespace octavo
