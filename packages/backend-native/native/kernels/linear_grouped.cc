// Grouped weights in the panels of linear_quant.h.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "../grouped_matrix.h"
#include "grouped_kind.h"
#include "quantized_matrix.h"

namespace octavo {
namespace {

/// A row's codes, one byte each.
void ExpandCodes(const uint8_t* stream, int64_t bits, int64_t cols, uint8_t* out) {
  const uint32_t mask = (1u << bits) - 1;
  int64_t k = 0;
  if (bits == 8) {
    std::memcpy(out, stream, static_cast<size_t>(cols));
    return;
  }
  if (bits == 4) {
    for (; k + 2 <= cols; k += 2) {
      out[k] = stream[k / 2] & 15;
      out[k + 1] = stream[k / 2] >> 4;
    }
  } else {
    // Eight codes are `bits` whole bytes.
    for (; k + 8 <= cols; k += 8) {
      uint64_t word = 0;
      std::memcpy(&word, stream + k / 8 * bits, static_cast<size_t>(bits));
      for (int i = 0; i < 8; i++) out[k + i] = static_cast<uint8_t>(word >> (i * bits) & mask);
    }
  }
  for (; k < cols; k++) {
    // At most two bytes hold a code, and a row is whole words.
    const int64_t bit = k * bits;
    uint32_t code = stream[bit / 8];
    if (bit % 8 + bits > 8) code |= static_cast<uint32_t>(stream[bit / 8 + 1]) << 8;
    out[k] = static_cast<uint8_t>(code >> bit % 8 & mask);
  }
}

bool HasNaN(const uint8_t* codes, int64_t count) {
  bool has_nan = false;
  for (int64_t k = 0; k < count; k++) has_nan |= (codes[k] & 127) == 127;
  return has_nan;
}

class GroupedMatrix final : public QuantizedMatrix {
 public:
  GroupedMatrix(int64_t rows, const GroupedSpec& spec, GroupedPlan plan, Activations activations)
      : QuantizedMatrix(rows, spec.cols, IsIntegral(TraitsOf(plan.kind)) ? activations : Activations::kFloat32),
        spec_(spec),
        plan_(std::move(plan)) {
    columns_.reserve(plan_.columns.size());
    for (const int32_t col : plan_.columns) {
      if (col < 0) fillers_.push_back(static_cast<uint32_t>(columns_.size()));
      columns_.push_back(static_cast<uint32_t>(std::max(col, 0)));
    }
    plan_.columns = {};
    const int64_t group_bytes = kPanelRows * (LayoutOf(spec.scale_format).block_bytes + (spec.has_zeros ? 1 : 0));
    panels_.grouped = {plan_.groups.data(), spec.scale_format, group_bytes, plan_.values.data(), plan_.unit, {}};
    std::memcpy(panels_.grouped.table, plan_.table, sizeof plan_.table);
    Allocate(plan_.kind, plan_.cols, spec.NumGroups() * group_bytes);
  }

  /// False where rows could not be read. `is_refused`: a code is no number, or a zero too large, which kernels do not look for.
  bool Pack(const StoredPlanes& planes, ThreadPool& pool, bool* is_refused) {
    std::atomic<bool> is_complete{true}, is_odd{false};
    const bool are_codes_complete = PackPanels(*planes[0], kPanelRows, pool, [&](int64_t panel, const uint8_t* const* rows) {
      if (!PackCodes(panel, rows)) is_odd = true;
      if (!PackScales(panel, planes)) is_complete = false;
      if (HasLargeZero(panel)) is_odd = true;
    });
    *is_refused = is_odd;
    return are_codes_complete && is_complete;
  }

  size_t Bytes() const override { return QuantizedMatrix::Bytes() + plan_.groups.size() * sizeof(int32_t); }

 private:
  /// False where a code is NaN.
  bool PackCodes(int64_t panel, const uint8_t* const* rows) {
    const std::unique_ptr<uint8_t[]> memory(new uint8_t[static_cast<size_t>(kPanelRows * panels_.cols + cols)]);
    uint8_t* const plain = memory.get() + kPanelRows * panels_.cols;
    const uint8_t* packed_rows[kPanelRows];
    bool is_nan = false;
    for (int64_t r = 0; r < kPanelRows; r++) {
      uint8_t* const packed = memory.get() + r * panels_.cols;
      packed_rows[r] = packed;
      ExpandCodes(rows[r], spec_.bits, cols, columns_.empty() ? packed : plain);
      for (size_t k = 0; k < columns_.size(); k++) packed[k] = plain[columns_[k]];
      for (const uint32_t k : fillers_) packed[k] = 0;
      if (panels_.kind == PanelKind::kE4m3) is_nan |= HasNaN(packed, panels_.cols);
      if (plan_.code_shift == 0) continue;
      for (int64_t k = 0; k < panels_.cols; k++) packed[k] = static_cast<uint8_t>(packed[k] + plan_.code_shift);
    }
    Kernels().pack.bytes(TraitsOf(panels_.kind).code_bits, packed_rows, panels_.cols, Panel(panel));
    return !is_nan;
  }

  /// From codes of less than 8 bits, at most 128 can be subtracted.
  bool HasLargeZero(int64_t panel) {
    if (!spec_.has_zeros || TraitsOf(panels_.kind).code_bits == 8) return false;
    const int64_t stride = panels_.grouped.group_bytes;
    const uint8_t* zeros = Panel(panel) + panels_.scale_start + stride - kPanelRows;
    uint8_t largest = 0;
    for (int64_t g = 0; g < spec_.NumGroups(); g++, zeros += stride) {
      for (int64_t r = 0; r < kPanelRows; r++) largest = std::max(largest, zeros[r]);
    }
    return largest > 128;
  }

  /// False where they could not be read.
  bool PackScales(int64_t panel, const StoredPlanes& planes) {
    const PackKernels& pack = Kernels().pack;
    const int64_t groups = spec_.NumGroups(), stride = panels_.grouped.group_bytes;
    uint8_t* const out = Panel(panel) + panels_.scale_start;
    const uint8_t* rows[kPanelRows];
    std::vector<uint8_t> buffer;
    if (!ReadPanel(*planes[1], panel, &buffer, rows)) return false;
    (spec_.scale_format == Format::kFloat32 ? pack.words : pack.halves)(rows, 0, groups, out, stride);
    if (spec_.has_zeros) {
      if (!ReadPanel(*planes[2], panel, &buffer, rows)) return false;
      for (int64_t r = 0; r < kPanelRows; r++) {
        for (int64_t g = 0; g < groups; g++) out[g * stride + stride - kPanelRows + r] = rows[r][g];
      }
    }
    PadPanel(panel, panels_.scale_start + groups * stride);
    return true;
  }

  /// Rows of a panel, zeros behind the last one.
  bool ReadPanel(const StoredRows& plane, int64_t panel, std::vector<uint8_t>* buffer, const uint8_t** rows) const {
    const int64_t present = std::min(kPanelRows, this->rows - panel * kPanelRows);
    buffer->assign(static_cast<size_t>(plane.BufferBytes(present) + plane.row_bytes()), 0);
    if (!plane.Read(panel * kPanelRows, present, buffer->data() + plane.row_bytes(), rows)) return false;
    std::fill(rows + present, rows + kPanelRows, buffer->data());
    return true;
  }

  const GroupedSpec spec_;
  GroupedPlan plan_;
};

}  // namespace

std::unique_ptr<Matrix> TryMakeGroupedPanels(const GroupedSpec& spec, const StoredPlanes& planes, Activations activations,
                                             ThreadPool& pool, bool* is_refused) {
  GroupedPlan plan{};
  *is_refused = !TryPlanGrouped(spec, &plan);
  if (*is_refused) return nullptr;
  auto matrix = std::make_unique<GroupedMatrix>(planes[0]->rows(), spec, std::move(plan), activations);
  if (!matrix->Pack(planes, pool, is_refused) || *is_refused) return nullptr;
  matrix->FindUnits(pool);
  return matrix;
}

std::unique_ptr<Matrix> MakeGroupedMatrix(const GroupedSpec& spec, const StoredPlanes& planes, Activations activations,
                                          ThreadPool& pool) {
  bool is_refused = false;
  std::unique_ptr<Matrix> matrix = TryMakeGroupedPanels(spec, planes, activations, pool, &is_refused);
  return is_refused ? MakeWidenedMatrix(spec, planes) : std::move(matrix);
}

}  // namespace octavo
