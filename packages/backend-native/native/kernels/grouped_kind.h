// Which kind of panels a grouped weight becomes, and which of its columns lies where.
#pragma once

#include <cstdint>
#include <vector>

#include "../grouped_matrix.h"
#include "panel_kinds.h"

namespace octavo {

struct GroupedPlan {
  PanelKind kind;
  /// What turns a code into a packed one, modulo 256.
  uint8_t code_shift;
  int64_t cols;                  // as packed: whole blocks
  std::vector<int32_t> columns;  // [cols]: which one lies where, -1: a filler; none where all lie in order
  std::vector<int32_t> groups;   // [blocks][parts]
  std::vector<float> values;     // [16] of a table
  float unit;                    // values = table * unit
  int8_t table[16];
};

/// False where no kind has such codes, or where groups are so small or odd that fillers would take much memory.
bool TryPlanGrouped(const GroupedSpec& spec, GroupedPlan* plan);

}  // namespace octavo
