// Vectors for any CPU: four floats that the compiler maps to whatever registers it has.
// The interface that all of them share; kernels are templates over it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace octavo {

struct VecScalar {
  static constexpr int kWidth = 4;
  /// Micro tile of the attention products that fits the registers: rows x vectors.
  static constexpr int kTileRows = 4;
  static constexpr int kTileVecs = 2;

  struct Reg {
    float lane[kWidth];
  };
  struct Mask {
    bool lane[kWidth];
  };

  static Reg Set(float value) { return Reg{{value, value, value, value}}; }
  static Reg Zero() { return Set(0.0f); }
  static Reg Load(const float* from) {
    Reg r;
    std::memcpy(r.lane, from, sizeof r.lane);
    return r;
  }
  /// The first `count` lanes, 1 to kWidth, zeros behind; nothing past them is touched.
  static Reg LoadPart(const float* from, int count) {
    Reg r = Zero();
    for (int i = 0; i < count; i++) r.lane[i] = from[i];
    return r;
  }
  /// Widens kWidth bfloat16 values, exactly.
  static Reg LoadBfloat16(const uint16_t* from) { return LoadBfloat16Part(from, kWidth); }
  static Reg LoadBfloat16Part(const uint16_t* from, int count) {
    Reg r = Zero();
    for (int i = 0; i < count; i++) {
      const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
      std::memcpy(&r.lane[i], &bits, sizeof bits);
    }
    return r;
  }
  static Reg LoadInt8(const int8_t* from) { return LoadInt8Part(from, kWidth); }
  static Reg LoadInt8Part(const int8_t* from, int count) {
    Reg r = Zero();
    for (int i = 0; i < count; i++) r.lane[i] = from[i];
    return r;
  }
  static void Store(float* to, Reg r) { std::memcpy(to, r.lane, sizeof r.lane); }
  static void StorePart(float* to, Reg r, int count) {
    for (int i = 0; i < count; i++) to[i] = r.lane[i];
  }

  static Reg Add(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] += b.lane[i];
    return a;
  }
  static Reg Sub(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] -= b.lane[i];
    return a;
  }
  static Reg Mul(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] *= b.lane[i];
    return a;
  }
  static Reg Div(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] /= b.lane[i];
    return a;
  }
  /// a * b + c, in two roundings here.
  static Reg Fma(Reg a, Reg b, Reg c) {
    for (int i = 0; i < kWidth; i++) c.lane[i] = a.lane[i] * b.lane[i] + c.lane[i];
    return c;
  }
  /// c - a * b
  static Reg Fnma(Reg a, Reg b, Reg c) {
    for (int i = 0; i < kWidth; i++) c.lane[i] = c.lane[i] - a.lane[i] * b.lane[i];
    return c;
  }
  /// b where either is NaN.
  static Reg Max(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
  }
  static Reg Min(Reg a, Reg b) {
    for (int i = 0; i < kWidth; i++) a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
  }
  static Reg Abs(Reg a) {
    for (int i = 0; i < kWidth; i++) a.lane[i] = std::fabs(a.lane[i]);
    return a;
  }
  static Reg CopySign(Reg magnitude, Reg sign) {
    for (int i = 0; i < kWidth; i++) magnitude.lane[i] = std::copysign(magnitude.lane[i], sign.lane[i]);
    return magnitude;
  }
  /// To the nearest integer, |a| < 2^22; NaN stays NaN.
  static Reg Round(Reg a) {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction bits
    for (int i = 0; i < kWidth; i++) a.lane[i] = (a.lane[i] + magic) - magic;
    return a;
  }
  /// a * 2^n for whole n in [-160, 160], gradually underflowing.
  static Reg ScaleByPowerOfTwo(Reg a, Reg n) {
    for (int i = 0; i < kWidth; i++) {
      // A NaN that Exp passes on arrives here with n = NaN.
      const int32_t exponent = n.lane[i] == n.lane[i] ? static_cast<int32_t>(n.lane[i]) : 0;
      const int32_t half = exponent / 2;
      a.lane[i] = a.lane[i] * PowerOfTwo(half) * PowerOfTwo(exponent - half);
    }
    return a;
  }

  /// The lowest nine bits as sign and exponent of a power of two.
  static Reg ExponentOf(Reg a) {
    for (int i = 0; i < kWidth; i++) {
      uint32_t bits;
      std::memcpy(&bits, &a.lane[i], sizeof bits);
      bits <<= 23;
      std::memcpy(&a.lane[i], &bits, sizeof bits);
    }
    return a;
  }

  static Mask Less(Reg a, Reg b) {
    Mask m;
    for (int i = 0; i < kWidth; i++) m.lane[i] = a.lane[i] < b.lane[i];
    return m;
  }
  /// Lanes begin <= lane < end; the bounds may lie outside the vector.
  static Mask Lanes(int64_t begin, int64_t end) {
    Mask m;
    for (int i = 0; i < kWidth; i++) m.lane[i] = i >= begin && i < end;
    return m;
  }
  static Reg Select(Mask m, Reg yes, Reg no) {
    for (int i = 0; i < kWidth; i++) no.lane[i] = m.lane[i] ? yes.lane[i] : no.lane[i];
    return no;
  }

  static float ReduceAdd(Reg a) { return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]); }
  static float ReduceMax(Reg a) {
    const float even = a.lane[0] > a.lane[2] ? a.lane[0] : a.lane[2];
    const float odd = a.lane[1] > a.lane[3] ? a.lane[1] : a.lane[3];
    return even > odd ? even : odd;
  }
  /// to[i] = ReduceMax(rows[i]); `to` has room for whole vectors.
  static void ReduceMaxRows(float* to, const Reg (&rows)[kTileRows]) {
    for (int i = 0; i < kTileRows; i++) to[i] = ReduceMax(rows[i]);
  }
  static float First(Reg a) { return a.lane[0]; }

  static void Transpose(Reg (&rows)[kWidth]) {
    for (int i = 0; i < kWidth; i++) {
      for (int j = 0; j < i; j++) {
        const float swap = rows[i].lane[j];
        rows[i].lane[j] = rows[j].lane[i];
        rows[j].lane[i] = swap;
      }
    }
  }
  static void Prefetch(const void*) {}

 private:
  static float PowerOfTwo(int32_t exponent) {
    const int32_t bits = (exponent + 127) * (1 << 23);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

}  // namespace octavo
