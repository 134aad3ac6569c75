// Vectors of four floats: NEON, which every arm64 CPU has. The interface is that of isa/scalar/vec.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace octavo {

struct VecNeon {
  static constexpr int kWidth = 4;
  /// 24 accumulators, four vectors and a broadcast of 32 registers.
  static constexpr int kTileRows = 6;
  static constexpr int kTileVecs = 4;

  using Reg = float32x4_t;
  using Mask = uint32x4_t;  // all bits of a lane

  static Reg Set(float value) { return vdupq_n_f32(value); }
  static Reg Zero() { return vdupq_n_f32(0.0f); }
  static Reg Load(const float* from) { return vld1q_f32(from); }
  static Reg LoadPart(const float* from, int count) {
    if (count == kWidth) return Load(from);
    const float32x2_t none = vdup_n_f32(0.0f);
    if (count == 1) return vcombine_f32(vld1_lane_f32(from, none, 0), none);
    return vcombine_f32(vld1_f32(from), count == 2 ? none : vld1_lane_f32(from + 2, none, 0));
  }
  static Reg LoadBfloat16(const uint16_t* from) { return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(from)), 16)); }
  static Reg LoadBfloat16Part(const uint16_t* from, int count) {
    if (count == kWidth) return LoadBfloat16(from);
    uint16_t lanes[kWidth] = {};
    std::memcpy(lanes, from, sizeof(uint16_t) * static_cast<size_t>(count));
    return LoadBfloat16(lanes);
  }
  static Reg LoadInt8(const int8_t* from) { return LoadInt8Part(from, kWidth); }
  static Reg LoadInt8Part(const int8_t* from, int count) {
    int8_t lanes[8] = {};
    std::memcpy(lanes, from, static_cast<size_t>(count));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(lanes)))));
  }
  static void Store(float* to, Reg r) { vst1q_f32(to, r); }
  static void StorePart(float* to, Reg r, int count) {
    if (count == kWidth) return Store(to, r);
    if (count == 1) return vst1q_lane_f32(to, r, 0);
    vst1_f32(to, vget_low_f32(r));
    if (count == 3) vst1q_lane_f32(to + 2, r, 2);
  }

  static Reg Add(Reg a, Reg b) { return vaddq_f32(a, b); }
  static Reg Sub(Reg a, Reg b) { return vsubq_f32(a, b); }
  static Reg Mul(Reg a, Reg b) { return vmulq_f32(a, b); }
  static Reg Div(Reg a, Reg b) { return vdivq_f32(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
  static Reg Fnma(Reg a, Reg b, Reg c) { return vfmsq_f32(c, a, b); }
  /// Not vmaxq: it gives NaN where either is.
  static Reg Max(Reg a, Reg b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Reg Min(Reg a, Reg b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Reg Abs(Reg a) { return vabsq_f32(a); }
  static Reg CopySign(Reg magnitude, Reg sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
  static Reg Round(Reg a) { return vrndnq_f32(a); }
  static Reg ScaleByPowerOfTwo(Reg a, Reg n) {
    // Two factors: n may lie outside the exponents of normal numbers.
    const int32x4_t exponent = vcvtnq_s32_f32(n);
    const int32x4_t half = vshrq_n_s32(exponent, 1);
    return Mul(Mul(a, PowerOfTwo(half)), PowerOfTwo(vsubq_s32(exponent, half)));
  }
  static Reg ExponentOf(Reg a) { return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(a), 23)); }

  static Mask Less(Reg a, Reg b) { return vcltq_f32(a, b); }
  static Mask Lanes(int64_t begin, int64_t end) {
    const int32_t numbers[kWidth] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(numbers);
    const uint32x4_t from_begin = vcgeq_s32(lane, vdupq_n_s32(static_cast<int32_t>(begin)));
    return vandq_u32(from_begin, vcltq_s32(lane, vdupq_n_s32(static_cast<int32_t>(end))));
  }
  static Reg Select(Mask m, Reg yes, Reg no) { return vbslq_f32(m, yes, no); }

  static float ReduceAdd(Reg a) {
    const float32x2_t pair = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
  }
  static float ReduceMax(Reg a) { return vmaxvq_f32(a); }
  static void ReduceMaxRows(float* to, const Reg (&rows)[kTileRows]) {
    for (int i = 0; i < kTileRows; i++) to[i] = ReduceMax(rows[i]);
  }
  static float First(Reg a) { return vgetq_lane_f32(a, 0); }

  static void Transpose(Reg (&rows)[kWidth]) {
    const Reg even01 = vtrn1q_f32(rows[0], rows[1]);  // columns 0 and 2 of rows 0 and 1
    const Reg odd01 = vtrn2q_f32(rows[0], rows[1]);
    const Reg even23 = vtrn1q_f32(rows[2], rows[3]);
    const Reg odd23 = vtrn2q_f32(rows[2], rows[3]);
    rows[0] = vcombine_f32(vget_low_f32(even01), vget_low_f32(even23));
    rows[1] = vcombine_f32(vget_low_f32(odd01), vget_low_f32(odd23));
    rows[2] = vcombine_f32(vget_high_f32(even01), vget_high_f32(even23));
    rows[3] = vcombine_f32(vget_high_f32(odd01), vget_high_f32(odd23));
  }
  static void Prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }

 private:
  static Reg PowerOfTwo(int32x4_t exponent) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(exponent, vdupq_n_s32(127)), 23));
  }
};

}  // namespace octavo
