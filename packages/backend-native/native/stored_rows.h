// The rows of a matrix as an array or a file holds them, for packing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "mapped_file.h"
#include "thread_pool.h"

namespace octavo {

/// Rows of `row_bytes` each, in order. Files stay mapped for as long as the object lives.
class StoredRows {
 public:
  /// Equally spaced rows of an open file.
  struct FileRun {
    int fd;
    int64_t position;  // of the first row, in bytes
    int64_t stride;    // from one row to the next; at least row_bytes
    int64_t count;
  };

  /// Rows one after the other; `bytes` must outlive the object.
  StoredRows(const uint8_t* bytes, int64_t rows, int64_t row_bytes);
  /// Null where a run does not lie in its file, or where the file can't be mapped.
  static std::unique_ptr<StoredRows> TryMap(const std::vector<FileRun>& runs, int64_t row_bytes, MappedFiles& files);
  StoredRows(const StoredRows&) = delete;
  StoredRows& operator=(const StoredRows&) = delete;

  int64_t rows() const { return rows_; }
  int64_t row_bytes() const { return row_bytes_; }

  /// Whether the files still hold what they held when they were mapped.
  bool IsUnchanged() const;

  /// Where the rows [first, first + count) begin.
  void Locate(int64_t first, int64_t count, const uint8_t** out) const;

  /// Brings rows into memory before they are touched: touching what a file no longer has would end the process.
  /// False where they can't be had.
  bool Fetch(int64_t first, int64_t count) const;
  /// Takes the pages of rows that have been read out of the process's memory; the system may still hold them.
  void Release(int64_t first, int64_t count) const;

 private:
  struct Run {
    const uint8_t* data;
    int64_t stride;
    int64_t first;
    int64_t count;
  };

  explicit StoredRows(int64_t row_bytes) : row_bytes_(row_bytes) {}
  void Append(const uint8_t* data, int64_t stride, int64_t count);
  template <class Visit>
  bool EachSpan(int64_t first, int64_t count, const Visit& visit) const;

  const int64_t row_bytes_;
  int64_t rows_ = 0;
  std::vector<Run> runs_;
  std::vector<std::shared_ptr<MappedFile>> files_;  // each once; none for rows of an array
};

constexpr int64_t kMostPanelRows = 32;

/// Calls pack(panel, rows) for every panel of `panel_rows` rows: rows[i] is the panel's row i, zeros behind the last
/// one. False where rows could not be read: then some panels are not packed.
template <class Pack>
bool PackPanels(const StoredRows& stored, int64_t panel_rows, ThreadPool& pool, const Pack& pack) {
  const int64_t num_panels = (stored.rows() + panel_rows - 1) / panel_rows;
  const int64_t panel_bytes = panel_rows * std::max<int64_t>(stored.row_bytes(), 1);
  // About a huge page each, so that threads seldom wait for the same one to be cleared, but work for all of them.
  const int64_t share = num_panels * panel_bytes / (2 * pool.num_threads());
  const int64_t chunk = std::max<int64_t>(1, std::clamp<int64_t>(share, 1 << 16, 1 << 21) / panel_bytes);
  const std::vector<uint8_t> zeros(static_cast<size_t>(stored.rows() % panel_rows == 0 ? 0 : stored.row_bytes()));
  std::atomic<bool> is_complete{true};
  pool.ParallelFor((num_panels + chunk - 1) / chunk, [&](int64_t task, int) {
    const int64_t end = std::min(num_panels, (task + 1) * chunk);
    const int64_t first = task * chunk * panel_rows;
    const int64_t count = std::min(stored.rows(), end * panel_rows) - first;
    if (!stored.Fetch(first, count)) {
      is_complete = false;
      return;
    }
    for (int64_t panel = task * chunk; panel < end; panel++) {
      const uint8_t* rows[kMostPanelRows];
      const int64_t present = std::min(panel_rows, stored.rows() - panel * panel_rows);
      stored.Locate(panel * panel_rows, present, rows);
      std::fill(rows + present, rows + panel_rows, zeros.data());
      pack(panel, static_cast<const uint8_t* const*>(rows));
    }
    stored.Release(first, count);
  });
  return is_complete;
}

}  // namespace octavo
