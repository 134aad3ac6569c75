// AMX: two tiles of tokens by two tiles of weight rows; each pair of weight tiles is loaded once for six products.
#pragma once

#include "kernels/linear_dense_tiles.h"

#include "isa/amx/tile_config.h"

namespace octavo {
namespace {

constexpr int64_t kTileElements = 512;  // of a weight tile: 1 KiB

int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Tiles 0 and 1: sums of the first 16 tokens; 2 and 3: of the next 16; 4 and 5: activations of each; 6 and 7: weights.
void Configure(int64_t first_width, int64_t second_width) {
  const uint8_t a = static_cast<uint8_t>(first_width), b = static_cast<uint8_t>(second_width > 0 ? second_width : 1);
  const TileConfig config = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {a, a, b, b, a, b, 16, 16}};
  LoadTileConfig(config);
}

/// Sixteen tokens by 32 rows on the way between y and the tiles, where the panel is not full or a bias comes on top.
struct Staging {
  alignas(64) float sums[kAmxTokens][kAmxPanel];

  void Load(const float* y, int64_t y_stride, int64_t width, int64_t num_rows) {
    const __mmask32 mask = Mask(num_rows);
    for (int64_t i = 0; i < width; i++) {
      _mm512_store_ps(sums[i], _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), y + i * y_stride));
      _mm512_store_ps(sums[i] + 16, _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), y + i * y_stride + 16));
    }
    SettleMemory();
  }

  void Store(float* y, int64_t y_stride, int64_t width, int64_t num_rows, const float* bias) const {
    const __mmask16 low = static_cast<__mmask16>(Mask(num_rows)), high = static_cast<__mmask16>(Mask(num_rows) >> 16);
    __m512 bias_low = _mm512_setzero_ps(), bias_high = bias_low;
    if (bias != nullptr) {
      bias_low = _mm512_maskz_loadu_ps(low, bias);
      bias_high = _mm512_maskz_loadu_ps(high, bias + 16);
    }
    for (int64_t i = 0; i < width; i++) {
      _mm512_mask_storeu_ps(y + i * y_stride, low, _mm512_add_ps(_mm512_load_ps(sums[i]), bias_low));
      _mm512_mask_storeu_ps(y + i * y_stride + 16, high, _mm512_add_ps(_mm512_load_ps(sums[i] + 16), bias_high));
    }
  }

  static __mmask32 Mask(int64_t num_rows) { return num_rows >= 32 ? ~__mmask32{0} : (__mmask32{1} << num_rows) - 1; }
};

// Which tiles hold a tile of tokens' sums; their numbers must be literals.
enum class Sums { kFirst, kSecond };

inline void LoadSums(Sums sums, const float* from, int64_t stride) {
  if (sums == Sums::kFirst) {
    _tile_loadd(0, from, stride * 4);
    _tile_loadd(1, from + 16, stride * 4);
  } else {
    _tile_loadd(2, from, stride * 4);
    _tile_loadd(3, from + 16, stride * 4);
  }
}

inline void StoreSums(Sums sums, float* to, int64_t stride) {
  if (sums == Sums::kFirst) {
    _tile_stored(0, to, stride * 4);
    _tile_stored(1, to + 16, stride * 4);
  } else {
    _tile_stored(2, to, stride * 4);
    _tile_stored(3, to + 16, stride * 4);
  }
}

inline void ZeroSums(Sums sums) {
  if (sums == Sums::kFirst) {
    _tile_zero(0);
    _tile_zero(1);
  } else {
    _tile_zero(2);
    _tile_zero(3);
  }
}

/// Sums of one tile of tokens from y.
inline void Begin(Sums sums, const AmxBlock& block, int64_t token, int64_t width) {
  const float* y = block.y + token * block.y_stride;
  if (block.is_first) {
    // Rows of y lie far apart: the lines that End writes can be on their way meanwhile.
    for (int64_t i = 0; i < width; i++) {
      __builtin_prefetch(y + i * block.y_stride, 1, 2);
      __builtin_prefetch(y + i * block.y_stride + 16, 1, 2);
    }
    ZeroSums(sums);
  } else if (block.num_rows >= kAmxPanel) {
    LoadSums(sums, y, block.y_stride);
  } else {
    Staging staging;
    staging.Load(y, block.y_stride, width, block.num_rows);
    LoadSums(sums, staging.sums[0], kAmxPanel);
  }
}

inline void End(Sums sums, const AmxBlock& block, int64_t token, int64_t width) {
  float* y = block.y + token * block.y_stride;
  if (block.num_rows >= kAmxPanel && block.bias == nullptr) return StoreSums(sums, y, block.y_stride);
  Staging staging;
  StoreSums(sums, staging.sums[0], kAmxPanel);
  staging.Store(y, block.y_stride, width, block.num_rows, block.bias);
}

/// What to fetch from memory while a pass over the weights runs: all passes together fetch everything once.
struct Ahead {
  const char* at;
  int64_t lines_per_step;

  void Fetch() {
    // To L2 only: prefetches to L1 would take the few line buffers that the loads themselves need.
    for (int64_t line = 0; line < lines_per_step; line++) _mm_prefetch(at + line * 64, _MM_HINT_T1);
    at += lines_per_step * 64;
  }
};

Ahead AheadOfPass(const AmxBlock& block, int64_t pass, int64_t num_passes) {
  const char* next = static_cast<const char*>(block.next);
  if (next == nullptr) return {next, 0};
  const int64_t step_lines = block.next_step_bytes / 64;
  const int64_t lines_per_step = (step_lines + num_passes - 1) / num_passes;
  const int64_t first = Min(pass * lines_per_step, step_lines);
  return {next + first * block.num_steps * 64, Min(lines_per_step, step_lines - first)};
}

/// One tile of tokens.
template <int kWeightParts>
void MultiplyOne(const AmxBlock& block, const uint16_t* x, int64_t token, int64_t width, Ahead ahead) {
  const uint16_t* weights = block.weights;
  x += block.x_start * kAmxParts * width * kAmxStep;
  Begin(Sums::kFirst, block, token, width);
  for (int64_t step = 0; step < block.num_steps; step++) {
    ahead.Fetch();
#pragma GCC unroll 3
    for (int weight_part = 0; weight_part < kWeightParts; weight_part++) {
      _tile_loadd(6, weights, 64);
      _tile_loadd(7, weights + kTileElements, 64);
#pragma GCC unroll 3
      for (int part = 0; part < kAmxParts - weight_part; part++) {
        _tile_loadd(4, x + part * width * kAmxStep, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
      }
      weights += 2 * kTileElements;
    }
    x += kAmxParts * width * kAmxStep;
  }
  End(Sums::kFirst, block, token, width);
}

/// A full tile of tokens and one of second_width.
template <int kWeightParts>
void MultiplyTwo(const AmxBlock& block, const uint16_t* x, int64_t token, int64_t second_width, Ahead ahead) {
  const uint16_t* weights = block.weights;
  const uint16_t* second_x = x + (block.x_steps * kAmxTokens + block.x_start * second_width) * kAmxParts * kAmxStep;
  x += block.x_start * kAmxTokens * kAmxParts * kAmxStep;
  Begin(Sums::kFirst, block, token, kAmxTokens);
  Begin(Sums::kSecond, block, token + kAmxTokens, second_width);
  for (int64_t step = 0; step < block.num_steps; step++) {
    ahead.Fetch();
#pragma GCC unroll 3
    for (int weight_part = 0; weight_part < kWeightParts; weight_part++) {
      _tile_loadd(6, weights, 64);
      _tile_loadd(7, weights + kTileElements, 64);
#pragma GCC unroll 3
      for (int part = 0; part < kAmxParts - weight_part; part++) {
        _tile_loadd(4, x + part * kAmxTokens * kAmxStep, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, second_x + part * second_width * kAmxStep, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      weights += 2 * kTileElements;
    }
    x += kAmxParts * kAmxTokens * kAmxStep;
    second_x += kAmxParts * second_width * kAmxStep;
  }
  End(Sums::kFirst, block, token, kAmxTokens);
  End(Sums::kSecond, block, token + kAmxTokens, second_width);
}

/// The upper halves of 32 lanes, in order.
inline void StoreUpperHalves(uint16_t* out, __m512i first, __m512i second) {
  const __mmask16 all = 0xffff;
  const __m256i low = _mm512_maskz_cvtepi32_epi16(all, _mm512_maskz_srli_epi32(all, first, 16));
  const __m256i high = _mm512_maskz_cvtepi32_epi16(all, _mm512_maskz_srli_epi32(all, second, 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), high);
}

/// `value` cut to bfloat16; `value` keeps the rest, which is exact. Infinities and NaN leave no rest.
inline __m512i TakePart(__m512& value) {
  const __m512i upper = _mm512_and_si512(_mm512_castps_si512(value), _mm512_set1_epi32(-0x10000));
  constexpr int kNan = 0x81, kNanOrInfinity = 0x99;
  const __mmask16 is_finite = static_cast<__mmask16>(~_mm512_fpclass_ps_mask(value, kNanOrInfinity));
  const __mmask16 is_nan = _mm512_fpclass_ps_mask(value, kNan);
  value = _mm512_maskz_sub_ps(is_finite, value, _mm512_castsi512_ps(upper));
  // A NaN whose payload lies in the lower half must not become an infinity.
  return _mm512_mask_or_epi32(upper, is_nan, upper, _mm512_set1_epi32(0x400000));
}

template <int kWeightParts>
void Multiply(const AmxBlock& block) {
  const int64_t pair_elements = 2 * kAmxTokens * block.x_steps * kAmxParts * kAmxStep;
  const int64_t num_pairs = block.n / (2 * kAmxTokens), left = block.n % (2 * kAmxTokens);
  const int64_t num_passes = num_pairs + (left > 0);
  const uint16_t* x = block.x;
  int64_t token = 0;
  SettleMemory();
  if (num_pairs > 0) Configure(kAmxTokens, kAmxTokens);
  for (int64_t pair = 0; pair < num_pairs; pair++) {
    MultiplyTwo<kWeightParts>(block, x, token, kAmxTokens, AheadOfPass(block, pair, num_passes));
    token += 2 * kAmxTokens;
    x += pair_elements;
  }
  const Ahead ahead = AheadOfPass(block, num_pairs, num_passes);
  if (left > kAmxTokens) {
    Configure(kAmxTokens, left - kAmxTokens);
    MultiplyTwo<kWeightParts>(block, x, token, left - kAmxTokens, ahead);
  } else if (left > 0) {
    Configure(left, 0);
    MultiplyOne<kWeightParts>(block, x, token, left, ahead);
  }
  // Tiles left in use would be saved and restored at every context switch.
  _tile_release();
}

void AmxSplit(uint16_t* out, const float* x, int64_t x_stride, int64_t width, int64_t num_k) {
  const int64_t part_elements = width * kAmxStep;
  for (int64_t k = 0; k < num_k; k += kAmxStep) {
    const int64_t left = num_k - k;
    const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
    for (int64_t i = 0; i < width; i++) {
      const float* from = x + i * x_stride + k;
      __m512 first = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from);
      __m512 second = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16);
      for (int64_t part = 0; part < kAmxParts; part++) {
        const __m512i low = TakePart(first), high = TakePart(second);
        StoreUpperHalves(out + part * part_elements + i * kAmxStep, low, high);
      }
    }
    out += kAmxParts * part_elements;
  }
}

void AmxSplitHalf(uint16_t* out, const uint16_t* weights, int64_t num_steps) {
  const __mmask16 all = 0xffff;
  const __m512i upper = _mm512_set1_epi32(-0x10000);
  for (int64_t step = 0; step < num_steps; step++, out += 4 * kTileElements, weights += 2 * kTileElements) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < 2 * kTileElements; i += 32) {
      const __m256i* halves = reinterpret_cast<const __m256i*>(weights + i);
      const __m512 even = _mm512_maskz_cvtph_ps(all, _mm256_load_si256(halves));
      const __m512 odd = _mm512_maskz_cvtph_ps(all, _mm256_load_si256(halves + 1));
      const __m512i even_high = _mm512_and_si512(_mm512_castps_si512(even), upper);
      const __m512i odd_high = _mm512_and_si512(_mm512_castps_si512(odd), upper);
      // What the high part leaves of a half has three bits: it is a bfloat16 as it stands.
      const __m512i even_low = _mm512_castps_si512(_mm512_sub_ps(even, _mm512_castsi512_ps(even_high)));
      const __m512i odd_low = _mm512_castps_si512(_mm512_sub_ps(odd, _mm512_castsi512_ps(odd_high)));
      const __m512i high = _mm512_or_si512(_mm512_maskz_srli_epi32(all, even_high, 16), odd_high);
      const __m512i low = _mm512_or_si512(_mm512_maskz_srli_epi32(all, even_low, 16), odd_low);
      _mm512_store_si512(out + i, high);
      _mm512_store_si512(out + 2 * kTileElements + i, low);
    }
  }
}

void AmxMultiply(const AmxBlock& block) {
  if (block.weight_parts == 1) return Multiply<1>(block);
  Multiply<2>(block);
}

}  // namespace
}  // namespace octavo
