#include "stored_rows.h"

namespace octavo {

StoredRows::StoredRows(const uint8_t* bytes, int64_t rows, int64_t row_bytes) : row_bytes_(row_bytes), rows_(rows) {
  runs_.push_back({bytes, nullptr, 0, row_bytes, 0, rows});
}

std::unique_ptr<StoredRows> StoredRows::TryOpen(const std::vector<FileRun>& runs, int64_t row_bytes, OpenFiles& files) {
  std::unique_ptr<StoredRows> stored(new StoredRows(row_bytes));
  for (const FileRun& run : runs) {
    // The quotient, as the product could overflow.
    const bool is_sane = run.count > 0 && run.position >= 0 && run.stride >= row_bytes && row_bytes > 0 &&
                         (INT64_MAX - run.position - row_bytes) / run.stride >= run.count;
    if (!is_sane) return nullptr;
    const std::shared_ptr<OpenFile> file = files.TryGet(run.fd);
    if (file == nullptr || run.position + (run.count - 1) * run.stride + row_bytes > file->stamp().bytes) return nullptr;
    std::vector<std::shared_ptr<OpenFile>>& own = stored->files_;
    if (std::find(own.begin(), own.end(), file) == own.end()) own.push_back(file);
    stored->runs_.push_back({nullptr, file.get(), run.position, run.stride, stored->rows_, run.count});
    stored->rows_ += run.count;
  }
  return stored;
}

bool StoredRows::IsUnchanged() const {
  return std::all_of(files_.begin(), files_.end(), [](const auto& file) { return file->IsUnchanged(); });
}

/// `begin`: of the run. Rows one after the other come in one call.
bool StoredRows::ReadRun(const Run& run, int64_t begin, int64_t count, uint8_t* out) const {
  const int64_t position = run.position + begin * run.stride;
  if (run.stride == row_bytes_) return run.file->Read(position, count * row_bytes_, out);
  for (int64_t i = 0; i < count; i++) {
    if (!run.file->Read(position + i * run.stride, row_bytes_, out + i * row_bytes_)) return false;
  }
  return true;
}

bool StoredRows::Read(int64_t first, int64_t count, uint8_t* buffer, const uint8_t** out) const {
  if (count <= 0) return true;
  auto run = std::upper_bound(runs_.begin(), runs_.end(), first,
                              [](int64_t row, const Run& candidate) { return row < candidate.first; }) - 1;
  for (int64_t row = first; row < first + count; ++run) {
    const int64_t begin = row - run->first;
    const int64_t num_rows = std::min(first + count, run->first + run->count) - row;
    const uint8_t* const data = run->file == nullptr ? run->data + begin * run->stride : buffer + (row - first) * row_bytes_;
    if (run->file != nullptr && !ReadRun(*run, begin, num_rows, buffer + (row - first) * row_bytes_)) return false;
    const int64_t stride = run->file == nullptr ? run->stride : row_bytes_;
    for (int64_t i = 0; i < num_rows; i++) *out++ = data + i * stride;
    row += num_rows;
  }
  return true;
}

}  // namespace octavo
