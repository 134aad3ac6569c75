#include <cmath>
#include <cstring>

#include "dequantize.h"
#include "linear_quant.h"

namespace octavo {

namespace {

constexpr int64_t kMaxTokens = 64;

void StoreRows(const QuantTask& task, int64_t rows, int64_t panel, int64_t token, const float* sums) {
  const int64_t first = panel * kPanelRows;
  const int64_t count = rows - first < kPanelRows ? rows - first : kPanelRows;
  float* y = task.At(token, panel);
  for (int64_t r = 0; r < count; r++) y[r] = task.bias == nullptr ? sums[r] : sums[r] + task.bias[first + r];
}

/// One block of 16 rows times the tokens of one tile.
void AddBlock(const QuantTraits& traits, const PlainBlock& block, const QuantizedActivations& x, int64_t tile,
              int64_t b, float (*sums)[16]) {
  const int64_t tokens = x.TokensOf(tile);
  const int64_t at = tile * kTileTokens * x.blocks + b * tokens;
  for (int64_t t = 0; t < tokens; t++) {
    const int8_t* codes = x.codes + (at + t) * 32;
    const float scale = x.scales[at + t];
    for (int r = 0; r < 16; r++) {
      int32_t dots[2] = {0, 0};
      for (int half = 0; half < 2; half++) {
        for (int i = 16 * half; i < 16 * half + 16; i++) dots[half] += block.codes[r][i] * codes[i];
      }
      float sum = sums[t][r];
      if (PartsOf(traits.scales) == 2) {
        sum = std::fma(static_cast<float>(dots[0]), block.scales[0][r] * scale, sum);
        sum = std::fma(static_cast<float>(dots[1]), block.scales[1][r] * scale, sum);
      } else {
        sum = std::fma(static_cast<float>(dots[0] + dots[1]), block.scales[0][r] * scale, sum);
      }
      if (HasMin(traits.scales)) sum = std::fma(x.scaled_sums[at + t], block.mins[r], sum);
      sums[t][r] = sum;
    }
  }
}

}  // namespace

void LinearInt8Scalar(const QuantPanels& w, const QuantizedActivations& x, const QuantTask& task) {
  const QuantTraits traits = TraitsOf(w.format);
  constexpr int64_t kTiles = kMaxTokens / kTileTokens;
  float sums[kMaxTokens][16];
  PlainBlock block;
  for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
    for (int64_t tile0 = task.tile_begin; tile0 < task.tile_end; tile0 += kTiles) {
      const int64_t tile1 = tile0 + kTiles < task.tile_end ? tile0 + kTiles : task.tile_end;
      std::memset(sums, 0, sizeof sums);
      for (int64_t b = 0; b < w.blocks; b++) {
        ReadPanelBlock(w, panel, b, &block);
        for (int64_t tile = tile0; tile < tile1; tile++)
          AddBlock(traits, block, x, tile, b, sums + (tile - tile0) * kTileTokens);
      }
      for (int64_t tile = tile0; tile < tile1; tile++) {
        for (int64_t t = 0; t < x.TokensOf(tile); t++) {
          StoreRows(task, w.rows, panel, tile * kTileTokens + t, sums[(tile - tile0) * kTileTokens + t]);
        }
      }
    }
  }
}

namespace {

/// Widened weights of one chunk, [k][16 rows].
void WidenChunk(const QuantPanels& w, int64_t panel, int64_t block_begin, int64_t block_end, float* out) {
  const bool has_min = HasMin(TraitsOf(w.format).scales);
  PlainBlock block;
  for (int64_t b = block_begin; b < block_end; b++) {
    ReadPanelBlock(w, panel, b, &block);
    float* to = out + (b - block_begin) * kBlock * 16;
    for (int k = 0; k < 32; k++) {
      for (int r = 0; r < 16; r++) {
        const float scaled = static_cast<float>(block.codes[r][k]) * block.scales[k / 16][r];
        to[16 * k + r] = has_min ? scaled + block.mins[r] : scaled;
      }
    }
  }
}

void AddChunk(const float* weights, const float* x, int64_t count, float* totals) {
  float sums[4][16] = {};
  for (int64_t k = 0; k < count; k += 4) {
    for (int i = 0; i < 4; i++) {
      for (int r = 0; r < 16; r++) sums[i][r] += x[k + i] * weights[16 * (k + i) + r];
    }
  }
  for (int r = 0; r < 16; r++) totals[r] += (sums[0][r] + sums[1][r]) + (sums[2][r] + sums[3][r]);
}

}  // namespace

void LinearFloatScalar(const QuantPanels& w, const FloatActivations& x, const QuantTask& task) {
  float weights[kChunkBlocks * kBlock * 16];
  float totals[kMaxTokens][16];
  const int64_t token_end = task.tile_end * kTileTokens < x.n ? task.tile_end * kTileTokens : x.n;
  for (int64_t panel = task.panel_begin; panel < task.panel_end; panel++) {
    for (int64_t token0 = task.tile_begin * kTileTokens; token0 < token_end; token0 += kMaxTokens) {
      const int64_t tokens = token_end - token0 < kMaxTokens ? token_end - token0 : kMaxTokens;
      std::memset(totals, 0, sizeof totals);
      for (int64_t b = 0; b < w.blocks; b += kChunkBlocks) {
        const int64_t block_end = b + kChunkBlocks < w.blocks ? b + kChunkBlocks : w.blocks;
        WidenChunk(w, panel, b, block_end, weights);
        for (int64_t t = 0; t < tokens; t++) {
          AddChunk(weights, x.x + (token0 + t) * w.cols + b * kBlock, (block_end - b) * kBlock, totals[t]);
        }
      }
      for (int64_t t = 0; t < tokens; t++) StoreRows(task, w.rows, panel, token0 + t, totals[t]);
    }
  }
}

}  // namespace octavo
