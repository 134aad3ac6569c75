// Stored formats of weights. Names, block sizes and their order come from core's table (packages/core/src/tensor/dtype.ts)
// by way of scripts/build-native.mjs.
#pragma once

#include <cstdint>

#include "formats.generated.h"

namespace octavo {

#define OCTAVO_ENUMERATOR(enumerator, name, elements, bytes) enumerator,
enum class Format : int32_t { OCTAVO_FORMATS(OCTAVO_ENUMERATOR) };
#undef OCTAVO_ENUMERATOR

struct FormatLayout {
  const char* name;
  int64_t block_elements;
  int64_t block_bytes;
};

#define OCTAVO_LAYOUT(enumerator, name, elements, bytes) {name, elements, bytes},
/// In the order of Format.
static constexpr FormatLayout kFormatLayouts[] = {OCTAVO_FORMATS(OCTAVO_LAYOUT)};
#undef OCTAVO_LAYOUT

// Internal linkage: files compiled for different instruction sets include this.
static constexpr const FormatLayout& LayoutOf(Format format) { return kFormatLayouts[static_cast<int>(format)]; }

}  // namespace octavo
