#pragma once

#include <type_traits>

#include "isa/amx/tile_config.h"
#include "isa/avx512/linear_wide.h"

namespace octavo {

namespace {

// Tiles: 0 to 4 sums [16 tokens][16 rows] int32, 5 and 6 codes of two tiles of tokens [16][64], 7 weights' upper or
// lower bytes [64 / 4][16 rows x 4].
constexpr int kNumSums = 5;
constexpr int kFirstCodes = 5;
constexpr int kSecondCodes = 6;
constexpr int kWeights = 7;

inline void ConfigureWideTiles(int64_t tokens) {
  TileConfig config;
  for (int i = 0; i < 8; i++) {
    config.column_bytes[i] = 64;
    config.rows[i] = static_cast<uint8_t>(i < kWeights ? tokens : 16);
  }
  LoadTileConfig(config);
}

constexpr int64_t kChunkSteps = kWideCols / kStepCols;
/// Tiles of tokens whose sums one pass keeps.
constexpr int64_t kPassTiles = 16;
constexpr int64_t kRoundTokens = 2 * kTileTokens;
/// Tokens whose outputs are on their way into the cache when they are stored.
constexpr int64_t kOutputsAhead = 8;

/// One chunk of a panel as the tile unit takes it: fixed-point numbers in two signed bytes.
struct alignas(64) WideStretch {
  int8_t steps[kChunkSteps][2][kStepCols * kPanelRows];  // upper bytes, lower bytes
};

/// `streams`: the weights come from memory, for one tile of tokens only.
template <PanelKind kKind>
void ExpandBlock(const WidePanels& w, int64_t panel, int64_t b, const WideFactors& factors,
                                   bool streams, int8_t* upper_bytes, int8_t* lower_bytes) {
  constexpr __mmask64 kOdd = 0xaaaaaaaaaaaaaaaa;
  const __m512i half = _mm512_set1_epi16(128);
  const uint8_t* block = w.panels.Codes(panel) + b * CodeBytesPerBlock(TraitsOf(kKind).code_bits);
  if (streams) {
    PrefetchStream<kKind>(block);
  } else {
    PrefetchBlock<kKind>(block);
  }
  const WideScales scales = LoadWideScales<kKind>(w, panel, b, factors);
  __m512i codes[8];
  LoadSigned<kKind>(w.panels, block, codes);
#pragma GCC unroll 8
  for (int g = 0; g < 8; g++) {
    const FixedPair fixed = Fix<kKind>(codes[g], scales, PartOfGroup<kKind>(g));
    const __m512i upper = _mm512_mask_blend_epi8(kOdd, _mm512_srli_epi16(_mm512_add_epi16(fixed.even, half), 8),
                                                 _mm512_add_epi16(fixed.odd, half));
    const __m512i lower = _mm512_mask_blend_epi8(kOdd, fixed.even, _mm512_slli_epi16(fixed.odd, 8));
    _mm512_store_si512(upper_bytes + 64 * g, upper);
    _mm512_store_si512(lower_bytes + 64 * g, lower);
  }
}

/// What depends on the kind of weights, by a call per block or panel: the pass itself is compiled once.
struct WideExpansion {
  decltype(&FactorsOf<PanelKind::kQ8_0>) factors_of;
  decltype(&ExpandBlock<PanelKind::kQ8_0>) expand_block;
};

/// Expands one chunk after the other, a few blocks at a time.
struct Expander {
  const WideExpansion expansion;
  const WidePanels& w;
  const bool streams;
  WideFactors factors{};
  WideStretch* to = nullptr;
  int64_t panel = 0;
  int64_t begin = 0, end = 0;  // blocks of the chunk
  int64_t next = 0;

  void Start(int64_t of_panel, int64_t chunk, WideStretch* stretch) {
    if (chunk == 0) factors = expansion.factors_of(w, of_panel);
    to = stretch;
    panel = of_panel;
    begin = next = chunk * kWideBlocks;
    end = begin + kWideBlocks < w.panels.blocks ? begin + kWideBlocks : w.panels.blocks;
    if ((end - begin) % 2 == 1) {
      for (auto* const plane : to->steps[(end - begin) / 2]) __builtin_memset(plane + 512, 0, 512);
    }
  }

  int64_t Steps() const { return (end - begin + 1) / 2; }

  /// Up to the chunk's first `count` blocks.
  void Advance(int64_t count) {
    for (; next < end && next < begin + count; next++) {
      auto* const step = to->steps[(next - begin) / 2];
      const int64_t at = (next - begin) % 2 * 512;
      expansion.expand_block(w, panel, next, factors, streams, step[0] + at, step[1] + at);
    }
  }
};

/// Sums of one panel and the tokens of a pass.
using PanelSums = float[kPassTiles * kTileTokens][kPanelRows];

/// Stores a finished panel a few tokens at a time: outputs lie far apart and seldom in cache.
struct Outputs {
  const WidePanels& w;
  const QuantTask& task;
  const int64_t token_begin, tokens;
  const PanelSums* sums = nullptr;
  int64_t panel = 0;
  int64_t next = 0;

  void Start(int64_t of_panel, const PanelSums* from) {
    sums = from;
    panel = of_panel;
    next = 0;
    for (int64_t t = 0; t < kOutputsAhead && t < tokens; t++) PrefetchWideRows(task, panel, token_begin + t);
  }

  void Advance(int64_t count) {
    for (; next < count; next++) {
      if (next + kOutputsAhead < tokens) PrefetchWideRows(task, panel, token_begin + next + kOutputsAhead);
      StoreWideRows(w, task, panel, token_begin + next, _mm512_load_ps((*sums)[next]));
    }
  }
};

/// The exact sums of one chunk and tile of tokens, of upper and lower bytes.
using Dots = int32_t[2][kTileTokens * kPanelRows];

/// Two tiles of tokens, or the last one alone, times one chunk of a panel.
struct Round {
  const WideStretch* weights;
  const int8_t* codes;
  int64_t steps;
  bool has_second;
  Dots* dots;           // [2 tiles]
  const float* scales;  // [32 tokens]
  float (*sums)[kPanelRows];
};

[[gnu::always_inline]] inline void AddToken(const Dots& dots, int64_t token, __m512 scale, float* sums) {
  const __m512i upper = _mm512_slli_epi32(_mm512_load_si512(dots[0] + 16 * token), 8);
  const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(upper, _mm512_load_si512(dots[1] + 16 * token)));
  _mm512_store_ps(sums, _mm512_fmadd_ps(dot, scale, _mm512_load_ps(sums)));
}

/// Adds a quarter of a round's sums to their tokens'.
[[gnu::always_inline]] inline void AddQuarter(const Round& round, int64_t quarter) {
  const int64_t tile = quarter / 2;
  if (tile == 1 && !round.has_second) return;
#pragma GCC unroll 8
  for (int64_t i = 0; i < 8; i++) {
    const int64_t token = quarter % 2 * 8 + i;
    const int64_t at = tile * kTileTokens + token;
    AddToken(round.dots[tile], token, _mm512_set1_ps(round.scales[at]), round.sums[at]);
  }
}

/// Multiplies a round while vectors finish others: `last`'s sums, still in tiles, are stored, those of `before` are added
/// to their tokens'. The four sums of a round are the first tokens' upper bytes, the second's, and both's lower bytes;
/// `last` has its own from tile `kShift` on (modulo 5). So one tile is free: each new sum begins in the one whose content
/// was stored just before, and the tile unit never waits for a store.
template <int kShift, typename Meanwhile>
[[gnu::always_inline]] inline void Multiply(const Round& round, int64_t stride, const Round& last, const Round& before,
                                            const Meanwhile& meanwhile) {
  constexpr int kSums[] = {(kShift + 4) % kNumSums, kShift, (kShift + 1) % kNumSums, (kShift + 2) % kNumSums};
  constexpr int kLast[] = {kShift, (kShift + 1) % kNumSums, (kShift + 2) % kNumSums, (kShift + 3) % kNumSums};
  const int8_t* codes = round.codes;
  const auto* step = round.weights->steps;
  TileLoad<kFirstCodes>(codes, kStepCols);
  TileLoad<kWeights>(step[0][0], 64);
  TileZero<kSums[0]>();
  TileProduct<kSums[0], kFirstCodes, kWeights>();
  TileStore<kLast[0]>(last.dots[0][0], 64);
  if (round.has_second) TileLoad<kSecondCodes>(codes + stride, kStepCols);
  TileZero<kSums[1]>();
  if (round.has_second) TileProduct<kSums[1], kSecondCodes, kWeights>();
  if (last.has_second) TileStore<kLast[1]>(last.dots[1][0], 64);
  TileLoad<kWeights>(step[0][1], 64);
  TileZero<kSums[2]>();
  TileProduct<kSums[2], kFirstCodes, kWeights>();
  TileStore<kLast[2]>(last.dots[0][1], 64);
  TileZero<kSums[3]>();
  if (round.has_second) TileProduct<kSums[3], kSecondCodes, kWeights>();
  if (last.has_second) TileStore<kLast[3]>(last.dots[1][1], 64);
  AddQuarter(before, 0);
  meanwhile(0);
#pragma GCC unroll 3
  for (int64_t s = 1; s < kChunkSteps; s++) {
    if (s < round.steps) {
      codes += kTileTokens * kStepCols;
      TileLoad<kFirstCodes>(codes, kStepCols);
      TileLoad<kWeights>(step[s][0], 64);
      TileProduct<kSums[0], kFirstCodes, kWeights>();
      if (round.has_second) {
        TileLoad<kSecondCodes>(codes + stride, kStepCols);
        TileProduct<kSums[1], kSecondCodes, kWeights>();
      }
      TileLoad<kWeights>(step[s][1], 64);
      TileProduct<kSums[2], kFirstCodes, kWeights>();
      if (round.has_second) TileProduct<kSums[3], kSecondCodes, kWeights>();
    }
    AddQuarter(before, s);
    meanwhile(s);
  }
}

/// The tiles of `last` go to its dots.
template <int kShift>
inline void StoreLast(const Round& last) {
  TileStore<kShift>(last.dots[0][0], 64);
  TileStore<(kShift + 2) % kNumSums>(last.dots[0][1], 64);
  if (last.has_second) {
    TileStore<(kShift + 1) % kNumSums>(last.dots[1][0], 64);
    TileStore<(kShift + 3) % kNumSums>(last.dots[1][1], 64);
  }
}

/// Rounds one after the other, each finished while the next two are multiplied.
class Pipeline {
 public:
  explicit Pipeline(int64_t stride) : stride_(stride) {
    for (int i = 0; i < 3; i++) *rounds_[i] = {nullptr, nullptr, 0, false, dots_[i % 2], scales_, nowhere_};
  }

  /// The next one, to be filled in before Run; its dots are given.
  Round& Next() { return *rounds_[0]; }

  template <typename Meanwhile>
  [[gnu::always_inline]] void Run(const Meanwhile& meanwhile) {
    switch (shift_) {
      case 0: Multiply<0>(*rounds_[0], stride_, *rounds_[1], *rounds_[2], meanwhile); break;
      case 1: Multiply<1>(*rounds_[0], stride_, *rounds_[1], *rounds_[2], meanwhile); break;
      case 2: Multiply<2>(*rounds_[0], stride_, *rounds_[1], *rounds_[2], meanwhile); break;
      case 3: Multiply<3>(*rounds_[0], stride_, *rounds_[1], *rounds_[2], meanwhile); break;
      default: Multiply<4>(*rounds_[0], stride_, *rounds_[1], *rounds_[2], meanwhile); break;
    }
    shift_ = shift_ == 0 ? 4 : shift_ - 1;
    Round* const free = rounds_[2];
    rounds_[2] = rounds_[1];
    rounds_[1] = rounds_[0];
    rounds_[0] = free;
    free->dots = rounds_[2]->dots;
  }

  /// Finishes all rounds.
  void Drain() {
    for (int64_t q = 0; q < 4; q++) AddQuarter(*rounds_[2], q);
    switch (shift_) {
      case 0: StoreLast<0>(*rounds_[1]); break;
      case 1: StoreLast<1>(*rounds_[1]); break;
      case 2: StoreLast<2>(*rounds_[1]); break;
      case 3: StoreLast<3>(*rounds_[1]); break;
      default: StoreLast<4>(*rounds_[1]); break;
    }
    for (int64_t q = 0; q < 4; q++) AddQuarter(*rounds_[1], q);
    for (Round* const round : {rounds_[1], rounds_[2]}) round->sums = nowhere_;
  }

 private:
  alignas(64) Dots dots_[2][2] = {};
  alignas(64) float nowhere_[kRoundTokens][kPanelRows] = {};  // for sums of rounds that were none
  float scales_[kRoundTokens] = {};
  Round storage_[3];
  Round* rounds_[3] = {storage_, storage_ + 1, storage_ + 2};  // the next, the last and the one before
  const int64_t stride_;
  int shift_ = 0;
};

/// The task's panels times the tiles [tile_begin, tile_end), at most kPassTiles: one chain of rounds, panel by panel,
/// chunk by chunk. Between them the chunk that follows is expanded and the panel before is stored.
void MultiplyPass(const WideExpansion& expansion, const WidePanels& w, const WideActivations& x, const QuantTask& task,
                  int64_t tile_begin, int64_t tile_end) {
  alignas(64) PanelSums sums[2];
  WideStretch stretches[2];
  Pipeline pipeline(x.Steps() * kTileTokens * kStepCols);
  const int64_t token_begin = tile_begin * kTileTokens;
  const int64_t tokens = (tile_end * kTileTokens < x.n ? tile_end * kTileTokens : x.n) - token_begin;
  const int64_t pairs = (tile_end - tile_begin + 1) / 2;
  const int64_t rounds = x.chunks * pairs;
  // A panel's sums are whole when two rounds of the next one are multiplied.
  const bool is_short = rounds <= 2;
  Expander expander{expansion, w, tile_end - tile_begin == 1};
  Outputs outputs{w, task, token_begin, tokens};
  expander.Start(task.panel_begin, 0, stretches);
  expander.Advance(kWideBlocks);
  int which = 0;
  for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
    PanelSums& own = sums[panel % 2];
    const int64_t outputs_left = outputs.sums == nullptr ? 0 : tokens;
    __builtin_memset(own, 0, static_cast<size_t>((tile_end - tile_begin) * kTileTokens) * sizeof own[0]);
    for (int64_t chunk = 0; chunk < x.chunks; chunk++) {
      const int64_t steps = expander.Steps();
      const WideStretch* const stretch = stretches + which;
      const int64_t next_panel = chunk + 1 == x.chunks ? panel + 1 : panel;
      which = 1 - which;
      const int64_t next_chunk = chunk + 1 == x.chunks ? 0 : chunk + 1;
      if (next_panel < task.panel_end) expander.Start(next_panel, next_chunk, stretches + which);
      for (int64_t pair = 0; pair < pairs; pair++) {
        const int64_t tile = tile_begin + 2 * pair;
        Round& round = pipeline.Next();
        round.weights = stretch;
        round.codes = x.Step(tile, chunk * kChunkSteps);
        round.steps = steps;
        round.has_second = tile + 1 < tile_end;
        round.scales = x.ScalesOf(chunk) + tile * kTileTokens;
        round.sums = own + 2 * pair * kTileTokens;
        const int64_t done = chunk * pairs + pair - 2;
        const int64_t store_begin = done < 0 ? 0 : outputs_left * done / (rounds - 2);
        const int64_t store_end = done < 0 ? 0 : outputs_left * (done + 1) / (rounds - 2);
        pipeline.Run([&](int64_t quarter) {
          outputs.Advance(store_begin + (store_end - store_begin) * (quarter + 1) / 4);
        });
        expander.Advance(kWideBlocks * (pair + 1) / pairs);
      }
    }
    outputs.Start(panel, &own);
    if (is_short || panel + 1 == task.panel_end) {
      pipeline.Drain();
      outputs.Advance(tokens);
      outputs.sums = nullptr;
    }
  }
}

void LinearWideAmx(const WidePanels& w, const WideActivations& x, const QuantTask& task) {
  WideExpansion expansion{};
  WithIntegralKind(w.panels.kind, [&](auto kind) {
    constexpr PanelKind kKind = decltype(kind)::value;
    expansion = {FactorsOf<kKind>, ExpandBlock<kKind>};
  });
  ConfigureWideTiles(x.n < kTileTokens ? x.n : kTileTokens);
  for (int64_t tile = task.tile_begin; tile < task.tile_end; tile += kPassTiles)
    MultiplyPass(expansion, w, x, task, tile, tile + kPassTiles < task.tile_end ? tile + kPassTiles : task.tile_end);
  _tile_release();
}

}  // namespace
}  // namespace octavo
