// The kinds of panels that linear_quant.h describes: what a code means, and which scales stand beside the codes.
//
// Every function here has internal linkage or is always inlined: files compiled for different instruction sets include it,
// and a shared copy might use one that the CPU lacks.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../formats.h"

namespace octavo {

constexpr int64_t kPanelRows = 16;
constexpr int64_t kBlock = 32;
/// K-quants share one pair of float16 scales among so many blocks.
constexpr int64_t kSuperBlocks = 8;

enum class ScaleKind {
  kBlockScale,     // per block: d[16] float16                                     w = code * d
  kBlockScaleMin,  // per block: d[16], m[16] float16                              w = code * d + m
  kSuperScaleMin,  // per 8 blocks: d[16], m[16] float16, 8 x (s[16], n[16] uint8) w = code * (d * s) - m * n
  kSuperHalves,    // per 8 blocks: d[16] float16, 8 x (s[2 halves of 16 k][16] int8)  w = code * (d * s)
  // Of grouped weights, in the dtype that they are stored in; GroupedLayout says which of them a block has.
  kGroup,       // per group: d[16]                w = code * d
  kGroupZero,   // per group: d[16], z[16] uint8   w = (code - z) * d
  kGroupHalves, // per group: d[16], each half of a block in one of its own
};

enum class CodeKind {
  kInteger,
  kTable,       // of 16 integers; w = (table[code] * unit) * d
  kFloatTable,  // of 16 floats, multiplied as such
  kE4m3,        // 8-bit floats without infinities, multiplied as such
};

// X(kind, bits of a code as packed, what that exceeds its value by (0 for signed codes), scales)
#define OCTAVO_BLOCK_KINDS(X)                 \
  X(kQ8_0, 8, 0, ScaleKind::kBlockScale)      \
  X(kQ4_0, 4, 8, ScaleKind::kBlockScale)      \
  X(kQ4_1, 4, 0, ScaleKind::kBlockScaleMin)   \
  X(kQ5_0, 5, 16, ScaleKind::kBlockScale)     \
  X(kQ5_1, 5, 0, ScaleKind::kBlockScaleMin)   \
  X(kQ4_K, 4, 0, ScaleKind::kSuperScaleMin)   \
  X(kQ5_K, 5, 0, ScaleKind::kSuperScaleMin)   \
  X(kQ6_K, 6, 32, ScaleKind::kSuperHalves)
#define OCTAVO_INTEGER_KINDS(X)               \
  X(kInt2, 2, 2, ScaleKind::kGroup)           \
  X(kInt2Zero, 2, 0, ScaleKind::kGroupZero)   \
  X(kInt3, 3, 4, ScaleKind::kGroup)           \
  X(kInt3Zero, 3, 0, ScaleKind::kGroupZero)   \
  X(kInt4, 4, 8, ScaleKind::kGroup)           \
  X(kInt4Zero, 4, 0, ScaleKind::kGroupZero)   \
  X(kInt4Halves, 4, 8, ScaleKind::kGroupHalves) \
  X(kInt5, 5, 16, ScaleKind::kGroup)          \
  X(kInt5Zero, 5, 0, ScaleKind::kGroupZero)   \
  X(kInt6, 6, 32, ScaleKind::kGroup)          \
  X(kInt6Zero, 6, 0, ScaleKind::kGroupZero)   \
  X(kInt8, 8, 0, ScaleKind::kGroup)           \
  X(kInt8Zero, 8, 0, ScaleKind::kGroupZero)   \
  X(kInt8Halves, 8, 0, ScaleKind::kGroupHalves)
#define OCTAVO_TABLE_KINDS(X)                 \
  X(kTable, 4, 0, ScaleKind::kGroup)          \
  X(kTableHalves, 4, 0, ScaleKind::kGroupHalves)
#define OCTAVO_FLOAT_TABLE_KINDS(X)           \
  X(kFloatTable, 4, 0, ScaleKind::kGroup)     \
  X(kFloatTableHalves, 4, 0, ScaleKind::kGroupHalves)
#define OCTAVO_E4M3_KINDS(X)                  \
  X(kE4m3, 8, 0, ScaleKind::kGroup)

#define OCTAVO_KIND(kind, bits, offset, scales) kind,
/// A stored format of blocks, or what a grouped weight's codes are packed as.
enum class PanelKind : int32_t {
  OCTAVO_BLOCK_KINDS(OCTAVO_KIND) OCTAVO_INTEGER_KINDS(OCTAVO_KIND) OCTAVO_TABLE_KINDS(OCTAVO_KIND)
      OCTAVO_FLOAT_TABLE_KINDS(OCTAVO_KIND) OCTAVO_E4M3_KINDS(OCTAVO_KIND)
};
#undef OCTAVO_KIND

struct PanelTraits {
  PanelKind kind;
  int code_bits;
  int offset;
  ScaleKind scales;
  CodeKind codes;
  int64_t stored_block;  // elements; 0: no stored format of blocks
  int64_t stored_bytes;  // per stored block
};

#define OCTAVO_BLOCK_TRAITS(kind, bits, offset, scales)                                     \
  {PanelKind::kind, bits, offset, scales, CodeKind::kInteger,                               \
   LayoutOf(Format::kind).block_elements, LayoutOf(Format::kind).block_bytes},
#define OCTAVO_INTEGER_TRAITS(kind, bits, offset, scales) {PanelKind::kind, bits, offset, scales, CodeKind::kInteger, 0, 0},
#define OCTAVO_TABLE_TRAITS(kind, bits, offset, scales) {PanelKind::kind, bits, offset, scales, CodeKind::kTable, 0, 0},
#define OCTAVO_FLOAT_TRAITS(kind, bits, offset, scales) {PanelKind::kind, bits, offset, scales, CodeKind::kFloatTable, 0, 0},
#define OCTAVO_E4M3_TRAITS(kind, bits, offset, scales) {PanelKind::kind, bits, offset, scales, CodeKind::kE4m3, 0, 0},
/// In the order of PanelKind.
static constexpr PanelTraits kPanelTraits[] = {
    OCTAVO_BLOCK_KINDS(OCTAVO_BLOCK_TRAITS) OCTAVO_INTEGER_KINDS(OCTAVO_INTEGER_TRAITS)
        OCTAVO_TABLE_KINDS(OCTAVO_TABLE_TRAITS) OCTAVO_FLOAT_TABLE_KINDS(OCTAVO_FLOAT_TRAITS)
            OCTAVO_E4M3_KINDS(OCTAVO_E4M3_TRAITS)};
#undef OCTAVO_BLOCK_TRAITS
#undef OCTAVO_INTEGER_TRAITS
#undef OCTAVO_TABLE_TRAITS
#undef OCTAVO_FLOAT_TRAITS
#undef OCTAVO_E4M3_TRAITS

static constexpr const PanelTraits& TraitsOf(PanelKind kind) { return kPanelTraits[static_cast<int>(kind)]; }

static constexpr int64_t CodeBytesPerBlock(int code_bits) { return 64 * code_bits; }
/// A product of floats adds a minimum.
static constexpr bool HasMin(ScaleKind scales) {
  return scales == ScaleKind::kBlockScaleMin || scales == ScaleKind::kSuperScaleMin;
}
static constexpr bool HasZeros(ScaleKind scales) { return scales == ScaleKind::kGroupZero; }
static constexpr bool IsGrouped(ScaleKind scales) {
  return scales == ScaleKind::kGroup || scales == ScaleKind::kGroupZero || scales == ScaleKind::kGroupHalves;
}
/// Integer sums per block: a scale may cover only half of it.
static constexpr int PartsOf(ScaleKind scales) {
  return scales == ScaleKind::kSuperHalves || scales == ScaleKind::kGroupHalves ? 2 : 1;
}
/// Whether codes stand for integers, so that activations may be integers too.
static constexpr bool IsIntegral(const PanelTraits& traits) {
  return traits.codes == CodeKind::kInteger || traits.codes == CodeKind::kTable;
}
/// Of what is multiplied: a table's integers have 8.
static constexpr int ValueBits(const PanelTraits& traits) {
  return traits.codes == CodeKind::kTable ? 8 : traits.code_bits;
}
/// What turns a value into the unsigned byte that `u8 x s8` instructions need, seen as an excess over the value.
/// Zeros are subtracted from unsigned codes.
static constexpr int UnsignedBias(const PanelTraits& traits) {
  return HasZeros(traits.scales) ? 0 : ValueBits(traits) == 8 ? 128 : traits.offset;
}
/// What signed values lack of the codes that zeros are subtracted from.
static constexpr int SignedZeroOffset(const PanelTraits& traits) { return traits.code_bits == 8 ? 128 : 0; }

/// Calls run(c) with the kind as the constant `decltype(c)::value`.
template <typename Run>
[[gnu::always_inline]] static inline void WithKind(PanelKind kind, const Run& run) {
  switch (kind) {
#define OCTAVO_CASE(kind, bits, offset, scales) \
  case PanelKind::kind:                         \
    return run(std::integral_constant<PanelKind, PanelKind::kind>{});
    OCTAVO_BLOCK_KINDS(OCTAVO_CASE)
    OCTAVO_INTEGER_KINDS(OCTAVO_CASE)
    OCTAVO_TABLE_KINDS(OCTAVO_CASE)
    OCTAVO_FLOAT_TABLE_KINDS(OCTAVO_CASE)
    OCTAVO_E4M3_KINDS(OCTAVO_CASE)
  }
}

/// As WithKind, for kinds whose codes stand for integers.
template <typename Run>
[[gnu::always_inline]] static inline void WithIntegralKind(PanelKind kind, const Run& run) {
  switch (kind) {
    OCTAVO_BLOCK_KINDS(OCTAVO_CASE)
    OCTAVO_INTEGER_KINDS(OCTAVO_CASE)
    OCTAVO_TABLE_KINDS(OCTAVO_CASE)
#undef OCTAVO_CASE
    default:
      return;
  }
}

static constexpr int64_t ScaleBytes(ScaleKind scales, int64_t blocks) {
  switch (scales) {
    case ScaleKind::kBlockScale:
      return blocks * 32;
    case ScaleKind::kBlockScaleMin:
      return blocks * 64;
    case ScaleKind::kSuperScaleMin:
      return blocks / kSuperBlocks * 320;
    case ScaleKind::kSuperHalves:
      return blocks / kSuperBlocks * 288;
    default:
      return 0;
  }
}

/// Where the scales of block `b` begin (the block's own part of them), of formats of blocks.
static constexpr int64_t BlockScaleOffset(ScaleKind scales, int64_t b) {
  switch (scales) {
    case ScaleKind::kBlockScale:
      return b * 32;
    case ScaleKind::kBlockScaleMin:
      return b * 64;
    case ScaleKind::kSuperScaleMin:
      return b / kSuperBlocks * 320 + 64 + b % kSuperBlocks * 32;
    case ScaleKind::kSuperHalves:
      return b / kSuperBlocks * 288 + 32 + b % kSuperBlocks * 32;
    default:
      return 0;
  }
}

/// Where the float16 scales that block `b` shares begin.
static constexpr int64_t SuperScaleOffset(ScaleKind scales, int64_t b) {
  return b / kSuperBlocks * (scales == ScaleKind::kSuperScaleMin ? 320 : 288);
}

}  // namespace octavo
