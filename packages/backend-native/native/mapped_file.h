// A checkpoint's file in the address space, shared by all weights that lie in it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace octavo {

/// What tells that a file is still the one that was opened, with what it held then.
struct FileStamp {
  uint64_t device;
  uint64_t inode;
  int64_t bytes;
  int64_t seconds;  // of the last change
  int64_t nanoseconds;

  bool operator==(const FileStamp& other) const {
    return device == other.device && inode == other.inode && bytes == other.bytes && seconds == other.seconds &&
           nanoseconds == other.nanoseconds;
  }
};

/// The whole file, read only. Outlives its descriptor; pages take memory only while they are looked at.
class MappedFile {
 public:
  /// Null where it is no regular file, is empty, or can't be mapped.
  static std::shared_ptr<MappedFile> TryMap(int fd);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  const FileStamp& stamp() const { return stamp_; }

  /// Whether nobody has written to the file, or cut it, since it was mapped.
  bool IsUnchanged() const;

 private:
  MappedFile(int fd, uint8_t* data, const FileStamp& stamp) : fd_(fd), data_(data), stamp_(stamp) {}

  const int fd_;  // its own
  uint8_t* const data_;
  const FileStamp stamp_;
};

/// The files that weights are mapped from: each once, for as long as a weight needs it. Of one thread.
class MappedFiles {
 public:
  /// Null as `MappedFile::TryMap`.
  std::shared_ptr<MappedFile> TryGet(int fd);

 private:
  std::vector<std::weak_ptr<MappedFile>> files_;
};

}  // namespace octavo
