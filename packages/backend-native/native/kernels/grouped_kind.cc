#include "grouped_kind.h"

#include <algorithm>
#include <cmath>

#include "linear_dense_values.h"

namespace octavo {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool AreIntegers(const GroupedSpec& spec) {
  const float middle = spec.has_zeros ? 0.0f : static_cast<float>(1 << (spec.bits - 1));
  for (size_t code = 0; code < spec.values.size(); code++) {
    if (spec.values[code] != static_cast<float>(code) - middle) return false;
  }
  return true;
}

bool AreE4m3(const GroupedSpec& spec) {
  if (spec.bits != 8 || spec.has_zeros) return false;
  for (uint32_t code = 0; code < 256; code++) {
    const float value = spec.values[code];
    const bool is_nan = (code & 127) == 127;
    if (is_nan != std::isnan(value)) return false;
    if (!is_nan && value != FloatFromBits((code & 128) << 24 | (code & 127) << 20) * 0x1p120f) return false;
  }
  return true;
}

/// As integers of 8 bits times a power of two; false where they are none.
bool TryFindUnit(GroupedPlan* plan) {
  for (float unit = 0x1p8f; unit >= 0x1p-12f; unit /= 2) {
    const bool fits = std::all_of(plan->values.begin(), plan->values.end(), [&](float value) {
      const float quotient = value / unit;
      return std::fabs(quotient) <= 127 && quotient == std::nearbyint(quotient);
    });
    if (!fits) continue;
    for (int code = 0; code < 16; code++)
      plan->table[code] = static_cast<int8_t>(plan->values[static_cast<size_t>(code)] / unit);
    plan->unit = unit;
    return true;
  }
  return false;
}

struct Kinds {
  PanelKind whole;
  PanelKind halves;  // as `whole` where there are none
};

Kinds IntegerKinds(int64_t bits, bool has_zeros) {
  switch (bits) {
    case 2:
      return has_zeros ? Kinds{PanelKind::kInt2Zero, PanelKind::kInt2Zero} : Kinds{PanelKind::kInt2, PanelKind::kInt4Halves};
    case 3:
      return has_zeros ? Kinds{PanelKind::kInt3Zero, PanelKind::kInt3Zero} : Kinds{PanelKind::kInt3, PanelKind::kInt4Halves};
    case 4:
      return has_zeros ? Kinds{PanelKind::kInt4Zero, PanelKind::kInt4Zero} : Kinds{PanelKind::kInt4, PanelKind::kInt4Halves};
    case 5:
      return has_zeros ? Kinds{PanelKind::kInt5Zero, PanelKind::kInt5Zero} : Kinds{PanelKind::kInt5, PanelKind::kInt8Halves};
    case 6:
      return has_zeros ? Kinds{PanelKind::kInt6Zero, PanelKind::kInt6Zero} : Kinds{PanelKind::kInt6, PanelKind::kInt8Halves};
    default:
      return has_zeros ? Kinds{PanelKind::kInt8Zero, PanelKind::kInt8Zero} : Kinds{PanelKind::kInt8, PanelKind::kInt8Halves};
  }
}

bool TryFindKinds(const GroupedSpec& spec, Kinds* kinds, GroupedPlan* plan) {
  if (spec.bits >= 2 && AreIntegers(spec)) {
    *kinds = IntegerKinds(spec.bits, spec.has_zeros);
    return true;
  }
  if (spec.has_zeros) return false;
  if (AreE4m3(spec)) {
    *kinds = {PanelKind::kE4m3, PanelKind::kE4m3};
    return true;
  }
  if (spec.bits > 4) return false;
  plan->values = spec.values;
  plan->values.resize(16, 0.0f);
  *kinds = TryFindUnit(plan) ? Kinds{PanelKind::kTable, PanelKind::kTableHalves}
                             : Kinds{PanelKind::kFloatTable, PanelKind::kFloatTableHalves};
  return true;
}

/// Columns as packed where each group's are filled up to whole units.
int64_t PackedCols(const std::vector<int64_t>& counts, int64_t unit) {
  int64_t cols = 0;
  for (const int64_t count : counts) cols += CeilDiv(count, unit) * unit;
  return CeilDiv(cols, kBlock) * kBlock;
}

void PlaceColumns(const GroupedSpec& spec, const std::vector<int64_t>& counts, int64_t unit, GroupedPlan* plan) {
  plan->columns.assign(static_cast<size_t>(plan->cols), -1);
  plan->groups.clear();
  std::vector<int64_t> next(counts.size());
  int64_t at = 0;
  for (size_t group = 0; group < counts.size(); group++) {
    next[group] = at;
    const int64_t units = CeilDiv(counts[group], unit);
    plan->groups.insert(plan->groups.end(), static_cast<size_t>(units), static_cast<int32_t>(group));
    at += units * unit;
  }
  // A last half block of nothing but fillers.
  plan->groups.resize(static_cast<size_t>(plan->cols / unit), 0);
  bool is_in_order = plan->cols == spec.cols;
  for (int64_t col = 0; col < spec.cols; col++) {
    int64_t& place = next[static_cast<size_t>(spec.GroupOf(col))];
    if (place != col) is_in_order = false;
    plan->columns[static_cast<size_t>(place++)] = static_cast<int32_t>(col);
  }
  if (is_in_order) plan->columns.clear();
}

}  // namespace

bool TryPlanGrouped(const GroupedSpec& spec, GroupedPlan* plan) {
  Kinds kinds{};
  if (!TryFindKinds(spec, &kinds, plan)) return false;
  std::vector<int64_t> counts(static_cast<size_t>(spec.NumGroups()));
  for (int64_t col = 0; col < spec.cols; col++) counts[static_cast<size_t>(spec.GroupOf(col))]++;
  const int64_t whole_cols = PackedCols(counts, kBlock);
  const int64_t half_cols = PackedCols(counts, kBlock / 2);
  // A few fillers cost less than a second scale per block.
  const int64_t few = std::max(spec.cols / 8, kBlock - 1);
  const bool is_halved = kinds.halves != kinds.whole && whole_cols > spec.cols + few && half_cols < whole_cols;
  plan->kind = is_halved ? kinds.halves : kinds.whole;
  plan->cols = is_halved ? half_cols : whole_cols;
  if (plan->cols > spec.cols + std::max(spec.cols / 2, kBlock - 1)) return false;
  PlaceColumns(spec, counts, is_halved ? kBlock / 2 : kBlock, plan);
  const PanelTraits& traits = TraitsOf(plan->kind);
  const int64_t middle = spec.has_zeros ? SignedZeroOffset(traits) : INT64_C(1) << (spec.bits - 1);
  plan->code_shift = traits.codes == CodeKind::kInteger ? static_cast<uint8_t>(traits.offset - middle) : 0;
  return true;
}

}  // namespace octavo
