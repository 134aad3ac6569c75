#include "stored_rows.h"

#include <cerrno>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace octavo {
namespace {

#if defined(__unix__) || defined(__APPLE__)

int64_t PageSize() {
  static const int64_t size = sysconf(_SC_PAGESIZE);
  return size;
}

#else

int64_t PageSize() { return 4096; }

#endif

int64_t OffsetInPage(const uint8_t* data) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(PageSize()));
}

bool FetchPages(uint8_t* start, int64_t bytes) {
#if defined(__linux__)
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; not in every system's headers
  return madvise(start, static_cast<size_t>(bytes), kPopulateRead) == 0 || errno == EINVAL;
#else
  (void)start, (void)bytes;
  return true;
#endif
}

void ReleasePages(uint8_t* start, int64_t bytes) {
#if defined(__linux__)
  madvise(start, static_cast<size_t>(bytes), MADV_DONTNEED);
#else
  (void)start, (void)bytes;
#endif
}

}  // namespace

StoredRows::StoredRows(const uint8_t* bytes, int64_t rows, int64_t row_bytes) : row_bytes_(row_bytes) {
  Append(bytes, row_bytes, rows);
}

std::unique_ptr<StoredRows> StoredRows::TryMap(const std::vector<FileRun>& runs, int64_t row_bytes,
                                               MappedFiles& files) {
  std::unique_ptr<StoredRows> stored(new StoredRows(row_bytes));
  for (const FileRun& run : runs) {
    // The quotient, as the product could overflow.
    const bool is_sane = run.count > 0 && run.position >= 0 && run.stride >= row_bytes && row_bytes > 0 &&
                         (INT64_MAX - run.position - row_bytes) / run.stride >= run.count;
    if (!is_sane) return nullptr;
    const std::shared_ptr<MappedFile> file = files.TryGet(run.fd);
    if (file == nullptr || run.position + (run.count - 1) * run.stride + row_bytes > file->stamp().bytes) return nullptr;
    std::vector<std::shared_ptr<MappedFile>>& own = stored->files_;
    if (std::find(own.begin(), own.end(), file) == own.end()) own.push_back(file);
    stored->Append(file->data() + run.position, run.stride, run.count);
  }
  return stored;
}

bool StoredRows::IsUnchanged() const {
  return std::all_of(files_.begin(), files_.end(), [](const auto& file) { return file->IsUnchanged(); });
}

void StoredRows::Append(const uint8_t* data, int64_t stride, int64_t count) {
  runs_.push_back({data, stride, rows_, count});
  rows_ += count;
}

void StoredRows::Locate(int64_t first, int64_t count, const uint8_t** out) const {
  if (count <= 0) return;
  auto run = std::upper_bound(runs_.begin(), runs_.end(), first,
                              [](int64_t row, const Run& candidate) { return row < candidate.first; }) - 1;
  for (int64_t row = first; row < first + count; row++) {
    if (row == run->first + run->count) ++run;
    *out++ = run->data + (row - run->first) * run->stride;
  }
}

/// visit(start, bytes): the stretches of memory that the rows take, gaps of their runs included.
template <class Visit>
bool StoredRows::EachSpan(int64_t first, int64_t count, const Visit& visit) const {
  for (const Run& run : runs_) {
    const int64_t begin = std::max(first, run.first) - run.first;
    const int64_t end = std::min(first + count, run.first + run.count) - run.first;
    if (begin >= end) continue;
    if (!visit(run.data + begin * run.stride, (end - 1 - begin) * run.stride + row_bytes_)) return false;
  }
  return true;
}

bool StoredRows::Fetch(int64_t first, int64_t count) const {
  if (files_.empty()) return true;
  return EachSpan(first, count, [](const uint8_t* data, int64_t bytes) {
    const int64_t before = OffsetInPage(data);
    return FetchPages(const_cast<uint8_t*>(data) - before, bytes + before);
  });
}

void StoredRows::Release(int64_t first, int64_t count) const {
  if (files_.empty()) return;
  // Whole pages only: those at the ends hold rows that another thread may be reading.
  EachSpan(first, count, [](const uint8_t* data, int64_t bytes) {
    const int64_t before = (PageSize() - OffsetInPage(data)) % PageSize();
    const int64_t whole = (bytes - before) / PageSize() * PageSize();
    if (whole > 0) ReleasePages(const_cast<uint8_t*>(data) + before, whole);
    return true;
  });
}

}  // namespace octavo
