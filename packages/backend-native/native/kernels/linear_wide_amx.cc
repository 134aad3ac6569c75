#include <type_traits>

#include "../tile_config.h"
#include "linear_wide_avx512.h"

namespace octavo {

namespace {

// Tiles: 0 to 3 sums [16 tokens][16 rows] int32 (of the weights' upper and lower bytes, of two tiles of tokens), 4 and 5
// tokens' codes [16][64], 6 and 7 weights' upper and lower bytes [64 / 4][16 rows x 4].

inline void ConfigureTiles(int64_t tokens) {
  TileConfig config;
  for (int i = 0; i < 8; i++) {
    config.column_bytes[i] = 64;
    config.rows[i] = static_cast<uint8_t>(i < 6 ? tokens : 16);
  }
  LoadTileConfig(config);
}

constexpr int64_t kChunkSteps = kWideCols / kStepCols;
/// Tiles of tokens whose sums one pass keeps.
constexpr int64_t kPassTiles = 16;

/// One chunk of a panel as the tile unit takes it: fixed-point numbers in two signed bytes.
struct alignas(64) WideStretch {
  int8_t steps[kChunkSteps][2][kStepCols * kPanelRows];  // upper bytes, lower bytes
};

/// `streams`: the weights come from memory, for one tile of tokens only.
template <Format kFormat>
void Expand(const WidePanels& w, int64_t panel, int64_t begin, int64_t end, const WideFactors& factors, bool streams,
            WideStretch* stretch) {
  constexpr QuantTraits kTraits = TraitsOf(kFormat);
  const __m512i half = _mm512_set1_epi16(128);
  const uint8_t* block = w.panels.Codes(panel) + begin * CodeBytesPerBlock(kTraits.code_bits);
  for (int64_t b = begin; b < end; b++, block += CodeBytesPerBlock(kTraits.code_bits)) {
    if (streams) {
      PrefetchStream<kFormat>(block);
    } else {
      PrefetchBlock<kFormat>(block);
    }
    const WideScales scales = LoadWideScales<kFormat>(w, panel, b, factors);
    auto* const step = stretch->steps[(b - begin) / 2];
    const int64_t at = (b - begin) % 2 * 512;
    __m512i codes[8];
    LoadSigned<kFormat>(block, codes);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
      const FixedPair fixed = Fix<kFormat>(codes[g], scales, PartOfGroup<kFormat>(g));
      constexpr __mmask64 kOdd = 0xaaaaaaaaaaaaaaaa;
      const __m512i upper = _mm512_mask_blend_epi8(kOdd, _mm512_srli_epi16(_mm512_add_epi16(fixed.even, half), 8),
                                                   _mm512_add_epi16(fixed.odd, half));
      const __m512i lower = _mm512_mask_blend_epi8(kOdd, fixed.even, _mm512_slli_epi16(fixed.odd, 8));
      _mm512_store_si512(step[0] + at + 64 * g, upper);
      _mm512_store_si512(step[1] + at + 64 * g, lower);
    }
  }
  if ((end - begin) % 2 == 1) {
    for (auto* const plane : stretch->steps[(end - begin) / 2]) __builtin_memset(plane + 512, 0, 512);
  }
}

/// The exact sums of one chunk and tile of tokens, of upper and lower bytes.
using Dots = int32_t[2][kTileTokens * kPanelRows];

/// One chunk of a panel times one or two tiles of tokens; `stride`: from one tile's codes to the next one's.
template <bool kTwoTiles>
[[gnu::always_inline]] inline void MultiplyChunk(const WideStretch& stretch, const int8_t* x, int64_t stride,
                                                 int64_t steps, Dots* dots) {
  SettleMemory();
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwoTiles) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t s = 0; s < steps; s++, x += kTileTokens * kStepCols) {
    _tile_loadd(4, x, kStepCols);
    _tile_loadd(6, stretch.steps[s][0], 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, stretch.steps[s][1], 64);
    _tile_dpbssd(1, 4, 7);
    if constexpr (kTwoTiles) {
      _tile_loadd(5, x + stride, kStepCols);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
  _tile_stored(0, dots[0][0], 64);
  _tile_stored(1, dots[0][1], 64);
  if constexpr (kTwoTiles) {
    _tile_stored(2, dots[1][0], 64);
    _tile_stored(3, dots[1][1], 64);
  }
}

[[gnu::always_inline]] inline void AddToken(const Dots& dots, int64_t token, __m512 scale, float* sums) {
  const __m512i upper = _mm512_slli_epi32(_mm512_load_si512(dots[0] + 16 * token), 8);
  const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(upper, _mm512_load_si512(dots[1] + 16 * token)));
  _mm512_store_ps(sums, _mm512_fmadd_ps(dot, scale, _mm512_load_ps(sums)));
}

/// Adds the chunk's sums of up to two tiles' tokens to theirs.
inline void AddDots(const Dots* dots, const float* scales, int64_t tokens, float (*sums)[kPanelRows]) {
  for (int64_t t = 0; t < tokens; t++)
    AddToken(dots[t / kTileTokens], t % kTileTokens, _mm512_set1_ps(scales[t]), sums[t]);
}

/// One panel times the tiles [tile_begin, tile_end), at most kPassTiles.
template <Format kFormat>
void MultiplyPanel(const WidePanels& w, const WideActivations& x, const QuantTask& task, int64_t panel,
                   int64_t tile_begin, int64_t tile_end) {
  alignas(64) float sums[kPassTiles * kTileTokens][kPanelRows];
  alignas(64) Dots dots[2][2];
  WideStretch stretch;
  const bool streams = tile_end - tile_begin == 1;
  const int64_t token_begin = tile_begin * kTileTokens;
  const int64_t tokens = (tile_end * kTileTokens < x.n ? tile_end * kTileTokens : x.n) - token_begin;
  const int64_t stride = x.Steps() * kTileTokens * kStepCols;
  const WideFactors factors = FactorsOf<kFormat>(w, panel);
  __builtin_memset(sums, 0, static_cast<size_t>(tokens) * sizeof sums[0]);
  for (int64_t chunk = 0; chunk < x.chunks; chunk++) {
    const int64_t begin = chunk * kWideBlocks;
    const int64_t end = begin + kWideBlocks < w.panels.blocks ? begin + kWideBlocks : w.panels.blocks;
    const int64_t steps = (end - begin + 1) / 2;
    Expand<kFormat>(w, panel, begin, end, factors, streams, &stretch);
    // Sums join one pair of tiles late: by then the tile unit has written them.
    const auto add = [&](int64_t tile) {
      const int64_t at = (tile - tile_begin) * kTileTokens;
      const int64_t count = tokens - at < 2 * kTileTokens ? tokens - at : 2 * kTileTokens;
      AddDots(dots[tile / 2 % 2], x.ScalesOf(chunk) + tile * kTileTokens, count, sums + at);
    };
    int64_t tile = tile_begin;
    for (; tile < tile_end; tile += 2) {
      const int8_t* codes = x.Step(tile, chunk * kChunkSteps);
      if (tile_end - tile == 1) {
        MultiplyChunk<false>(stretch, codes, stride, steps, dots[tile / 2 % 2]);
      } else {
        MultiplyChunk<true>(stretch, codes, stride, steps, dots[tile / 2 % 2]);
      }
      if (tile > tile_begin) add(tile - 2);
    }
    add(tile - 2);
  }
  for (int64_t t = 0; t < tokens; t++) StoreWideRows(w, task, panel, token_begin + t, _mm512_load_ps(sums[t]));
}

template <Format kFormat>
void Multiply(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  ConfigureTiles(x.n < kTileTokens ? x.n : kTileTokens);
  for (int64_t tile = task.tile_begin; tile < task.tile_end; tile += kPassTiles) {
    const int64_t tile_end = tile + kPassTiles < task.tile_end ? tile + kPassTiles : task.tile_end;
    for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++)
      MultiplyPanel<kFormat>(w, x, task, panel, tile, tile_end);
  }
  _tile_release();
}

}  // namespace

void LinearWideAmx(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  WithFormat(w.panels.format, [&](auto format) { Multiply<decltype(format)::value>(w, x, task); });
}

}  // namespace octavo
