// Packed blocks of the quantized formats, widened plainly.
#pragma once

#include <cstdint>

#include "linear_quant.h"

namespace octavo {

float Float16ToFloat(uint16_t bits);

/// One block of a panel in plain order: codes less their offset or what a table says, scales, minima and zeros of the 16
/// rows. Of kinds whose codes stand for integers.
struct PlainBlock {
  int8_t codes[16][32];
  float scales[2][16];  // [half]; equal halves where one scale covers the block
  float mins[16];       // what is added to code * scale
  int32_t zeros[16];    // what is subtracted from codes
};

void ReadPanelBlock(const QuantPanels& w, int64_t panel, int64_t block, PlainBlock* out);

/// A row of a block of a panel as float32, rounded once: out [32].
void WidenBlockRow(const QuantPanels& w, int64_t panel, int64_t block, int64_t r, float* out);

/// One row, columns as packed, as float32, rounded once.
void WidenPanelRow(const QuantPanels& w, int64_t row, float* out);

}  // namespace octavo
