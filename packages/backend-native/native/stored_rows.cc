#include "stored_rows.h"

#include <cerrno>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace octavo {
namespace {

#if defined(__unix__) || defined(__APPLE__)

int64_t PageSize() {
  static const int64_t size = sysconf(_SC_PAGESIZE);
  return size;
}

uint8_t* MapFile(int fd, int64_t start, int64_t end) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || end > info.st_size) return nullptr;
  void* data = mmap(nullptr, static_cast<size_t>(end - start), PROT_READ, MAP_SHARED, fd, start);
  return data == MAP_FAILED ? nullptr : static_cast<uint8_t*>(data);
}

void UnmapFile(uint8_t* data, int64_t bytes) { munmap(data, static_cast<size_t>(bytes)); }

#else

int64_t PageSize() { return 4096; }
uint8_t* MapFile(int, int64_t, int64_t) { return nullptr; }
void UnmapFile(uint8_t*, int64_t) {}

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

std::unique_ptr<StoredRows> StoredRows::TryMap(const std::vector<FileRun>& runs, int64_t row_bytes) {
  std::unique_ptr<StoredRows> stored(new StoredRows(row_bytes));
  if (!stored->Map(runs)) return nullptr;
  return stored;
}

StoredRows::~StoredRows() {
  for (const Mapping& mapping : mappings_) {
    if (mapping.data != nullptr) UnmapFile(mapping.data, mapping.end - mapping.start);
  }
}

/// One mapping per file, from its first row to its last.
bool StoredRows::Map(const std::vector<FileRun>& runs) {
  const auto find = [this](int fd) {
    return std::find_if(mappings_.begin(), mappings_.end(), [fd](const Mapping& mapping) { return mapping.fd == fd; });
  };
  for (const FileRun& run : runs) {
    // The quotient, as the product could overflow.
    const bool is_sane = run.count > 0 && run.position >= 0 && run.stride >= row_bytes_ && row_bytes_ > 0 &&
                         (INT64_MAX - run.position - row_bytes_) / run.stride >= run.count;
    if (!is_sane) return false;
    const int64_t start = run.position / PageSize() * PageSize();
    const int64_t end = run.position + (run.count - 1) * run.stride + row_bytes_;
    const auto mapping = find(run.fd);
    if (mapping == mappings_.end()) {
      mappings_.push_back({run.fd, start, end, nullptr});
    } else {
      mapping->start = std::min(mapping->start, start);
      mapping->end = std::max(mapping->end, end);
    }
  }
  for (Mapping& mapping : mappings_) {
    mapping.data = MapFile(mapping.fd, mapping.start, mapping.end);
    if (mapping.data == nullptr) return false;
  }
  for (const FileRun& run : runs) {
    const Mapping& mapping = *find(run.fd);
    Append(mapping.data + (run.position - mapping.start), run.stride, run.count);
  }
  return true;
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
  if (mappings_.empty()) return true;
  return EachSpan(first, count, [](const uint8_t* data, int64_t bytes) {
    const int64_t before = OffsetInPage(data);
    return FetchPages(const_cast<uint8_t*>(data) - before, bytes + before);
  });
}

void StoredRows::Release(int64_t first, int64_t count) const {
  if (mappings_.empty()) return;
  // Whole pages only: those at the ends hold rows that another thread may be reading.
  EachSpan(first, count, [](const uint8_t* data, int64_t bytes) {
    const int64_t before = (PageSize() - OffsetInPage(data)) % PageSize();
    const int64_t whole = (bytes - before) / PageSize() * PageSize();
    if (whole > 0) ReleasePages(const_cast<uint8_t*>(data) + before, whole);
    return true;
  });
}

}  // namespace octavo
