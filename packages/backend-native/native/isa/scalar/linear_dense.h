// Plain C++: eight lanes that any compiler may turn into what the machine has.
#pragma once

#include "kernels/linear_dense_tile.h"
#include "kernels/linear_dense_values.h"

namespace octavo {
namespace {

struct Lanes {
  float value[8];
};

struct ScalarVector {
  using Type = Lanes;
  static constexpr int kLanes = 8;
  static constexpr int kMaxWidth = 2;

  static Type Zero() { return {}; }
  static Type Set(float value) {
    Type out;
    for (float& lane : out.value) lane = value;
    return out;
  }
  static Type Load(const float* from) {
    Type out;
    std::memcpy(&out, from, sizeof out);
    return out;
  }
  static void Store(float* to, const Type& value) { std::memcpy(to, &value, sizeof value); }
  static Type Add(const Type& a, const Type& b) {
    Type out;
    for (int i = 0; i < kLanes; i++) out.value[i] = a.value[i] + b.value[i];
    return out;
  }
  static Type MulAdd(const Type& a, const Type& b, const Type& c) {
    Type out;
    for (int i = 0; i < kLanes; i++) out.value[i] = a.value[i] * b.value[i] + c.value[i];
    return out;
  }
  static Type LoadHalf(const uint16_t* from) {
    Type out;
    for (int i = 0; i < kLanes; i++) out.value[i] = FloatFromHalf(from[i]);
    return out;
  }
  static Type LoadBfloat16Even(const uint16_t* from) {
    Type out;
    for (int i = 0; i < kLanes; i++) out.value[i] = FloatFromBfloat16(from[2 * i]);
    return out;
  }
  static Type LoadBfloat16Odd(const uint16_t* from) {
    Type out;
    for (int i = 0; i < kLanes; i++) out.value[i] = FloatFromBfloat16(from[2 * i + 1]);
    return out;
  }
};

}  // namespace
}  // namespace octavo
