// THE ORDER of sums over a row: element k goes to lane k mod (4 * width), lanes are then added pairwise.
#pragma once

#include <cstdint>

namespace octavo {

/// Folds a row of d floats with add(total, value); zeros, which must not change a total, fill the last vector.
template <class V, class Add>
inline float RowSum(const float* row, int64_t d, const Add& add) {
  constexpr int kWidth = V::kWidth;
  typename V::Reg totals[4] = {V::Zero(), V::Zero(), V::Zero(), V::Zero()};
  int64_t k = 0;
  for (; k + 4 * kWidth <= d; k += 4 * kWidth) {
    totals[0] = add(totals[0], V::Load(row + k));
    totals[1] = add(totals[1], V::Load(row + k + kWidth));
    totals[2] = add(totals[2], V::Load(row + k + 2 * kWidth));
    totals[3] = add(totals[3], V::Load(row + k + 3 * kWidth));
  }
  for (int v = 0; k < d; v++, k += kWidth) {
    const int rest = d - k < kWidth ? static_cast<int>(d - k) : kWidth;
    totals[v] = add(totals[v], V::LoadPart(row + k, rest));
  }
  return V::ReduceAdd(V::Add(V::Add(totals[0], totals[1]), V::Add(totals[2], totals[3])));
}

}  // namespace octavo
