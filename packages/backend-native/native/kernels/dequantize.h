// Packed blocks of the quantized formats, widened plainly.
#pragma once

#include <cstdint>

#include "linear_quant.h"

namespace octavo {

float Float16ToFloat(uint16_t bits);

/// One block of a panel in plain order: codes less their offset, scales and minima of the 16 rows.
struct PlainBlock {
  int8_t codes[16][32];
  float scales[2][16];  // [half]; equal halves where one scale covers the block
  float mins[16];       // what is added to code * scale
};

void ReadPanelBlock(const QuantPanels& w, int64_t panel, int64_t block, PlainBlock* out);

/// One row of one block as float32, rounded once.
void WidenPanelRow(const QuantPanels& w, int64_t row, float* out);

}  // namespace octavo
