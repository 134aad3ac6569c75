// A checkpoint's open file, shared by all weights that lie in it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace octavo {

/// What tells that a file is still the one that was opened, with what it held then.
struct FileStamp {
  uint64_t device;
  uint64_t number;
  int64_t bytes;
  int64_t changed_seconds;
  int64_t changed_nanoseconds;

  bool operator==(const FileStamp& other) const {
    return device == other.device && number == other.number && bytes == other.bytes &&
           changed_seconds == other.changed_seconds && changed_nanoseconds == other.changed_nanoseconds;
  }
};

/// Read by pread, never mapped: where a mapped file becomes shorter, touching what is gone ends the process. From any thread.
class OpenFile {
 public:
  /// Null where it is no regular file. Keeps a descriptor of its own.
  static std::shared_ptr<OpenFile> TryOpen(int fd);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const FileStamp& stamp() const { return stamp_; }
  /// Whether it has the size and the time of last change that it had when it was opened.
  bool IsUnchanged() const;
  /// False where the file no longer holds them.
  bool Read(int64_t position, int64_t bytes, uint8_t* out) const;

 private:
  OpenFile(int fd, const FileStamp& stamp) : fd_(fd), stamp_(stamp) {}

  const int fd_;
  const FileStamp stamp_;
};

/// The open files of one thread: each once, for as long as a weight needs it.
class OpenFiles {
 public:
  /// Null as `OpenFile::TryOpen`. A file that has changed since is another one.
  std::shared_ptr<OpenFile> TryGet(int fd);

 private:
  std::vector<std::weak_ptr<OpenFile>> files_;
};

}  // namespace octavo
