// Vectors of the width that the file's flags allow. Included once per instruction set, into a namespace of its own, and free
// of the standard library's inline functions: the linker would keep one copy of those for CPUs of every kind.
#include <stdint.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define OCTAVO_WIDTH 16
#elif defined(__AVX__)
#define OCTAVO_WIDTH 8
#else
#define OCTAVO_WIDTH 4
#endif

namespace {

constexpr int64_t kWidth = OCTAVO_WIDTH;

typedef float Vec __attribute__((vector_size(4 * OCTAVO_WIDTH)));
typedef int32_t IntVec __attribute__((vector_size(4 * OCTAVO_WIDTH)));
typedef uint32_t WordVec __attribute__((vector_size(4 * OCTAVO_WIDTH)));
typedef float LooseVec __attribute__((vector_size(4 * OCTAVO_WIDTH), aligned(4), may_alias));
typedef uint16_t LooseHalves __attribute__((vector_size(2 * OCTAVO_WIDTH), aligned(2), may_alias));

inline Vec Load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }

/** bfloat16 is the upper half of a float32. */
inline Vec Load(const uint16_t* from) {
  const LooseHalves halves = *reinterpret_cast<const LooseHalves*>(from);
  return reinterpret_cast<Vec>(__builtin_convertvector(halves, WordVec) << 16);
}

inline float Widen(float value) { return value; }

inline float Widen(uint16_t value) {
  union {
    uint32_t word;
    float number;
  } both;
  both.word = static_cast<uint32_t>(value) << 16;
  return both.number;
}

inline void Store(float* to, Vec value) { *reinterpret_cast<LooseVec*>(to) = value; }

inline Vec Spread(float value) { return value - Vec{}; }

inline float Sum(Vec x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(x);
#elif defined(__AVX__)
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
  return (x[0] + x[2]) + (x[1] + x[3]);
#endif
}

inline Vec Max(Vec a, Vec b) { return a > b ? a : b; }

inline float MaxOf(Vec x) {
  float max = x[0];
  for (int64_t i = 1; i < kWidth; i++) max = x[i] > max ? x[i] : max;
  return max;
}

/** e^x within 2 units of the last place; 0 below -87, where float32 has no normal numbers, and no more than e^88. */
inline Vec Exp(Vec x) {
  const IntVec is_tiny = x < Spread(-87.0f);
  x = is_tiny ? Spread(-87.0f) : x;
  x = x > Spread(88.0f) ? Spread(88.0f) : x;
  const Vec power = x * 1.44269504f;
  const Vec half = power < Vec{} ? Spread(-0.5f) : Spread(0.5f);
  const IntVec whole = __builtin_convertvector(power + half, IntVec);
  const Vec n = __builtin_convertvector(whole, Vec);
  // ln 2 in two parts, so that the remainder is exact.
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = Spread(1.9875691500e-4f);  // Cephes' polynomial of expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Vec scaled = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p) + (whole << 23));
  return is_tiny ? Vec{} : scaled;
}

inline Vec Sigmoid(Vec x) { return 1.0f / (1.0f + Exp(-x)); }

/** Vectors over `n` elements, the last one through a padded copy. */
template <typename Map>
inline void ForEachVector(int64_t n, Map map) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) map(i, kWidth);
  if (i < n) map(i, n - i);
}

inline Vec LoadPart(const float* from, int64_t count) {
  if (count == kWidth) return Load(from);
  Vec part = {};
  for (int64_t i = 0; i < count; i++) part[i] = from[i];
  return part;
}

inline void StorePart(float* to, Vec value, int64_t count) {
  if (count == kWidth) return Store(to, value);
  for (int64_t i = 0; i < count; i++) to[i] = value[i];
}

}  // namespace
