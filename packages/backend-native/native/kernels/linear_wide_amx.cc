#include <type_traits>

#include "linear_wide_avx512.h"

namespace octavo {

namespace {

// Tiles: 0 to 3 sums [16 tokens][16 rows] int32 (upper and lower bytes of panel 0, of panel 1), 4 tokens' codes
// [16][64], 5 and 6 weights' bytes [64 / 4][16 rows x 4].
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

inline void ConfigureTiles(int64_t tokens) {
  TileConfig config;
  for (int i = 0; i < 7; i++) {
    config.column_bytes[i] = 64;
    config.rows[i] = static_cast<uint8_t>(i < 5 ? tokens : 16);
  }
  // The intrinsic tells the compiler of the first bytes only.
  __asm__ __volatile__("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

constexpr int64_t kChunkSteps = kWideCols / kStepCols;
constexpr int kPanels = 2;
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

/// The exact sums of one chunk and tile of tokens, upper and lower bytes apart.
using Dots = int32_t[2][kTileTokens * kPanelRows];

template <bool kTwoPanels>
[[gnu::always_inline]] inline void MultiplyChunk(const WideStretch* stretches, const int8_t* x, int64_t steps,
                                                 Dots* dots) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwoPanels) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t s = 0; s < steps; s++, x += kTileTokens * kStepCols) {
    _tile_loadd(4, x, kStepCols);
    _tile_loadd(5, stretches[0].steps[s][0], 64);
    _tile_dpbssd(0, 4, 5);
    _tile_loadd(6, stretches[0].steps[s][1], 64);
    _tile_dpbssd(1, 4, 6);
    if constexpr (kTwoPanels) {
      _tile_loadd(5, stretches[1].steps[s][0], 64);
      _tile_dpbssd(2, 4, 5);
      _tile_loadd(6, stretches[1].steps[s][1], 64);
      _tile_dpbssd(3, 4, 6);
    }
  }
  _tile_stored(0, dots[0][0], 64);
  _tile_stored(1, dots[0][1], 64);
  if constexpr (kTwoPanels) {
    _tile_stored(2, dots[1][0], 64);
    _tile_stored(3, dots[1][1], 64);
  }
}

[[gnu::always_inline]] inline void AddDots(const Dots& dots, const float* scales, int64_t tokens, float (*sums)[16]) {
  for (int64_t t = 0; t < tokens; t++) {
    const __m512i upper = _mm512_slli_epi32(_mm512_load_si512(dots[0] + 16 * t), 8);
    const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(upper, _mm512_load_si512(dots[1] + 16 * t)));
    _mm512_store_ps(sums[t], _mm512_fmadd_ps(dot, _mm512_set1_ps(scales[t]), _mm512_load_ps(sums[t])));
  }
}

/// One or two panels times the tiles [tile_begin, tile_end), at most kPassTiles.
template <Format kFormat, bool kTwoPanels>
void MultiplyPanels(const WidePanels& w, const WideActivations& x, const QuantTask& task, int64_t panel,
                    int64_t tile_begin, int64_t tile_end) {
  constexpr int kCount = kTwoPanels ? 2 : 1;
  alignas(64) float sums[kCount][kPassTiles * kTileTokens][kPanelRows];
  WideStretch stretches[kCount];
  alignas(64) Dots dots[2][kCount];
  const int64_t token_end = tile_end * kTileTokens < x.n ? tile_end * kTileTokens : x.n;
  const int64_t tokens = token_end - tile_begin * kTileTokens;
  WideFactors factors[kCount];
  for (int p = 0; p < kCount; p++) {
    factors[p] = FactorsOf<kFormat>(w, panel + p);
    __builtin_memset(sums[p], 0, static_cast<size_t>(tokens) * sizeof sums[p][0]);
  }
  for (int64_t chunk = 0; chunk < x.chunks; chunk++) {
    const int64_t begin = chunk * kWideBlocks;
    const int64_t end = begin + kWideBlocks < w.panels.blocks ? begin + kWideBlocks : w.panels.blocks;
    const int64_t steps = (end - begin + 1) / 2;
    for (int p = 0; p < kCount; p++)
      Expand<kFormat>(w, panel + p, begin, end, factors[p], tile_end - tile_begin == 1, &stretches[p]);
    // Sums join one tile late: by then the tile unit has written them.
    const auto add = [&](int64_t tile) {
      const int64_t at = (tile - tile_begin) * kTileTokens;
      const int64_t count = tokens - at < kTileTokens ? tokens - at : kTileTokens;
      for (int p = 0; p < kCount; p++)
        AddDots(dots[tile % 2][p], x.ScalesOf(chunk) + tile * kTileTokens, count, sums[p] + at);
    };
    for (int64_t tile = tile_begin; tile < tile_end; tile++) {
      MultiplyChunk<kTwoPanels>(stretches, x.Step(tile, chunk * kChunkSteps), steps, dots[tile % 2]);
      if (tile > tile_begin) add(tile - 1);
    }
    add(tile_end - 1);
  }
  for (int64_t t = 0; t < tokens; t++) {
    for (int p = 0; p < kCount; p++)
      StoreWideRows(w, task, panel + p, tile_begin * kTileTokens + t, _mm512_load_ps(sums[p][t]));
  }
}

template <Format kFormat>
void Multiply(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  ConfigureTiles(x.n < kTileTokens ? x.n : kTileTokens);
  for (int64_t tile = task.tile_begin; tile < task.tile_end; tile += kPassTiles) {
    const int64_t tile_end = tile + kPassTiles < task.tile_end ? tile + kPassTiles : task.tile_end;
    int64_t panel = task.panel_begin;
    for (; panel + kPanels <= task.panel_end; panel += kPanels)
      MultiplyPanels<kFormat, true>(w, x, task, panel, tile, tile_end);
    if (panel < task.panel_end) MultiplyPanels<kFormat, false>(w, x, task, panel, tile, tile_end);
  }
  _tile_release();
}

}  // namespace

void LinearWideAmx(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  switch (w.panels.format) {
    case Format::kQ8_0:
      return Multiply<Format::kQ8_0>(w, x, task);
    case Format::kQ4_0:
      return Multiply<Format::kQ4_0>(w, x, task);
    case Format::kQ4_1:
      return Multiply<Format::kQ4_1>(w, x, task);
    case Format::kQ5_0:
      return Multiply<Format::kQ5_0>(w, x, task);
    case Format::kQ5_1:
      return Multiply<Format::kQ5_1>(w, x, task);
    case Format::kQ4_K:
      return Multiply<Format::kQ4_K>(w, x, task);
    case Format::kQ5_K:
      return Multiply<Format::kQ5_K>(w, x, task);
    case Format::kQ6_K:
      return Multiply<Format::kQ6_K>(w, x, task);
    default:
      return;
  }
}

}  // namespace octavo
