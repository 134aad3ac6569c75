// Dense weights on AMX tiles, with float32 activations taken apart into three bfloat16 parts.
//
//   x = high + middle + low exactly (8 bits of significand each), and a product of two bfloat16 is exact in float32,
//   so nothing but the sums is rounded. A bfloat16 weight is one part, a float16 two; of their products those up to
//   2^-16 of the largest are kept (part i of the weight with part j of x where i + j <= 2), the rest lies below
//   float32's own rounding.
//   TDPBF16PS specifies the sums: within 32 consecutive k, the even and the odd k are each summed upwards from zero,
//   then added to each other, then to the element. An element's order is therefore: k in steps of 32; within a step
//   the weight's parts from high to low, for each the activation's from high to low; then the bias.
//   It depends on no other row of the tile. Subnormal numbers count as zero, as everywhere in AMX, and an infinite
//   activation times a float16 weight may give NaN.
//
//   W as stored:   [panel of 32 rows][step of 32 k][half], then [k / 2][row of 16][k % 2], or in float16
//                  [k / 2][k % 2][row of 16], which is the cheaper one to take apart
//   W taken apart: [step][part][half][k / 2][row of 16][k % 2]: each half of a part is one tile
//   x taken apart: [tile of 16 tokens][step][part][token][k of 32]: each part of a step is one tile
#pragma once

#include <cstdint>

namespace octavo {

constexpr int64_t kAmxStep = 32;
constexpr int64_t kAmxPanel = 32;
constexpr int64_t kAmxTokens = 16;
constexpr int64_t kAmxParts = 3;

/// One block of k of one panel, times n tokens.
struct AmxBlock {
  const uint16_t* weights;  // taken apart, from the block's first step
  int64_t weight_parts;     // 1 or 2
  int64_t num_steps;
  const uint16_t* x;        // taken apart
  int64_t x_start;          // the block's first step in x
  int64_t x_steps;          // steps that each tile of tokens has in x
  const void* next;         // num_steps * next_step_bytes to fetch meanwhile, or null
  int64_t next_step_bytes;
  int64_t n;
  float* y;                 // [n][y_stride], at the panel's first row
  int64_t y_stride;
  int64_t num_rows;         // rows of the panel that exist
  bool is_first;            // y holds nothing yet
  const float* bias;        // added after the last block; null otherwise
};

/// All null where there is no tile unit.
struct DenseTileKernels {
  /// x [width, num_k] with rows x_stride apart -> out [steps][part][width][32], padded with zeros to whole steps.
  void (*split)(uint16_t* out, const float* x, int64_t x_stride, int64_t width, int64_t num_k);
  /// Stored float16 weights of `num_steps` steps -> out [step][part][1024].
  void (*split_half)(uint16_t* out, const uint16_t* weights, int64_t num_steps);
  void (*multiply)(const AmxBlock& block);
};

}  // namespace octavo
