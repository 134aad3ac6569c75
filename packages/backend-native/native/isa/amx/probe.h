#pragma once

#include <immintrin.h>

#include <cstring>

#include "isa/amx/tile_config.h"

namespace octavo {
namespace {
/// Four accumulators from two and two operand tiles, loaded anew each round: what a matrix kernel can reach at best.
double MultiplyAmx(int64_t rounds) {
  TileConfig config;
  for (int tile = 0; tile < 8; tile++) {
    config.column_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  LoadTileConfig(config);
  alignas(64) static thread_local int8_t operands[4 * 1024];
  std::memset(operands, 1, sizeof operands);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t round = 0; round < rounds; round++) {
    _tile_loadd(4, operands, 64);
    _tile_loadd(5, operands + 1024, 64);
    _tile_loadd(6, operands + 2048, 64);
    _tile_loadd(7, operands + 3072, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * (16 * 16 * 64) * 2;
}

}  // namespace
}  // namespace octavo
