#pragma once

#include "isa/neon/linear_quant.h"

namespace octavo {

namespace {

/// One instruction multiplies 4 rows by 4 k and adds up each row.
struct DotInstructions {
  template <int kLargest, int kBegin, int kEnd>
  static int32x4_t Sum(const int8x16_t (&codes)[8], const TokenCodes& x) {
    int32x4_t sum = vdupq_n_s32(0);
    if constexpr (kBegin == 0) {
      sum = vdotq_laneq_s32(sum, codes[0], x.halves[0], 0);
      sum = vdotq_laneq_s32(sum, codes[1], x.halves[0], 1);
      sum = vdotq_laneq_s32(sum, codes[2], x.halves[0], 2);
      sum = vdotq_laneq_s32(sum, codes[3], x.halves[0], 3);
    }
    if constexpr (kEnd == 8) {
      sum = vdotq_laneq_s32(sum, codes[4], x.halves[1], 0);
      sum = vdotq_laneq_s32(sum, codes[5], x.halves[1], 1);
      sum = vdotq_laneq_s32(sum, codes[6], x.halves[1], 2);
      sum = vdotq_laneq_s32(sum, codes[7], x.halves[1], 3);
    }
    return sum;
  }
};

}  // namespace
}  // namespace octavo
