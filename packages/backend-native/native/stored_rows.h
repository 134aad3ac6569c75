// The rows of a matrix as an array or a file holds them, for packing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "open_file.h"
#include "thread_pool.h"

namespace octavo {

/// Rows of `row_bytes` each, in order. Files stay open for as long as the object lives.
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
  /// Null where a run does not lie in its file, or where that is no regular file.
  static std::unique_ptr<StoredRows> TryOpen(const std::vector<FileRun>& runs, int64_t row_bytes, OpenFiles& files);
  StoredRows(const StoredRows&) = delete;
  StoredRows& operator=(const StoredRows&) = delete;

  int64_t rows() const { return rows_; }
  int64_t row_bytes() const { return row_bytes_; }

  /// Whether the files still hold what they held when they were opened.
  bool IsUnchanged() const;

  /// Memory that Read needs for `count` rows: none for those of an array.
  int64_t BufferBytes(int64_t count) const { return files_.empty() ? 0 : count * row_bytes_; }
  /// Where the rows [first, first + count) begin, in `buffer` or in the array. False where they can't be had.
  bool Read(int64_t first, int64_t count, uint8_t* buffer, const uint8_t** out) const;

 private:
  struct Run {
    const uint8_t* data;   // of an array, else null
    const OpenFile* file;  // else null
    int64_t position;
    int64_t stride;
    int64_t first;
    int64_t count;
  };

  explicit StoredRows(int64_t row_bytes) : row_bytes_(row_bytes) {}
  bool ReadRun(const Run& run, int64_t begin, int64_t count, uint8_t* out) const;

  const int64_t row_bytes_;
  int64_t rows_ = 0;
  std::vector<Run> runs_;
  std::vector<std::shared_ptr<OpenFile>> files_;  // each once; none for rows of an array
};

/// One plane after the other of a weight that has several, all of the same number of rows; of any other weight its rows.
using StoredPlanes = std::vector<std::shared_ptr<const StoredRows>>;

inline bool AreUnchanged(const StoredPlanes& planes) {
  return std::all_of(planes.begin(), planes.end(), [](const auto& plane) { return plane->IsUnchanged(); });
}

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
    const std::unique_ptr<uint8_t[]> buffer(new uint8_t[static_cast<size_t>(stored.BufferBytes(panel_rows))]);
    for (int64_t panel = task * chunk; panel < end && is_complete; panel++) {
      const uint8_t* rows[kMostPanelRows];
      const int64_t present = std::min(panel_rows, stored.rows() - panel * panel_rows);
      if (!stored.Read(panel * panel_rows, present, buffer.get(), rows)) {
        is_complete = false;
        return;
      }
      std::fill(rows + present, rows + panel_rows, zeros.data());
      pack(panel, static_cast<const uint8_t* const*>(rows));
    }
  });
  return is_complete;
}

}  // namespace octavo
