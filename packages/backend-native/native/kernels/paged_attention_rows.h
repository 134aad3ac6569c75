// What attention reads of a KV cache: rows of one stored type, widened exactly to the vectors of isa/*/vec.h.
//
// INVARIANT: a widened element is the float that the cache gives back for it (KvRead), so attention over any type has the
// bits of attention over a float32 cache that holds those floats.
#pragma once

#include <cstdint>

#include "ops.h"

namespace octavo {

/// One position's keys or values from the task's first KV head on.
template <class Rows>
struct CachedRow {
  const typename Rows::Element* elements;  // [KV heads, head_dim]
  const float* scales;                     // [KV heads]; null where the type has none
};

/// What the types without scales have in place of one.
struct NoScale {};

template <class V>
struct FloatRows {
  using Element = float;
  static NoScale ScaleOf(const CachedRow<FloatRows>&, int64_t) { return {}; }
  static typename V::Reg Load(const float* from, NoScale) { return V::Load(from); }
  static typename V::Reg LoadPart(const float* from, int count, NoScale) { return V::LoadPart(from, count); }
};

template <class V>
struct Bfloat16Rows {
  using Element = uint16_t;
  static NoScale ScaleOf(const CachedRow<Bfloat16Rows>&, int64_t) { return {}; }
  static typename V::Reg Load(const uint16_t* from, NoScale) { return V::LoadBfloat16(from); }
  static typename V::Reg LoadPart(const uint16_t* from, int count, NoScale) { return V::LoadBfloat16Part(from, count); }
};

template <class V>
struct Int8Rows {
  using Element = int8_t;
  using Reg = typename V::Reg;
  static Reg ScaleOf(const CachedRow<Int8Rows>& row, int64_t head) { return V::Set(row.scales[head]); }
  static Reg Load(const int8_t* from, Reg scale) { return V::Mul(V::LoadInt8(from), scale); }
  static Reg LoadPart(const int8_t* from, int count, Reg scale) { return V::Mul(V::LoadInt8Part(from, count), scale); }
};

}  // namespace octavo
