#include "open_file.h"

#include <algorithm>
#include <cerrno>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace octavo {

#if defined(__unix__) || defined(__APPLE__)

namespace {

/// False where it is no regular file.
bool ReadStamp(int fd, FileStamp* stamp) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
#if defined(__APPLE__)
  const struct timespec& changed = info.st_mtimespec;
#else
  const struct timespec& changed = info.st_mtim;
#endif
  *stamp = {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino), static_cast<int64_t>(info.st_size),
            static_cast<int64_t>(changed.tv_sec), static_cast<int64_t>(changed.tv_nsec)};
  return true;
}

}  // namespace

std::shared_ptr<OpenFile> OpenFile::TryOpen(int fd) {
  FileStamp stamp;
  if (!ReadStamp(fd, &stamp) || stamp.bytes == 0) return nullptr;
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  return std::shared_ptr<OpenFile>(new OpenFile(own, stamp));
}

OpenFile::~OpenFile() { close(fd_); }

bool OpenFile::Read(int64_t position, int64_t bytes, uint8_t* out) const {
  while (bytes > 0) {
    const ssize_t count = pread(fd_, out, static_cast<size_t>(bytes), static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    position += count;
    bytes -= count;
    out += count;
  }
  return true;
}

bool OpenFile::IsUnchanged() const {
  FileStamp stamp;
  return ReadStamp(fd_, &stamp) && stamp == stamp_;
}

std::shared_ptr<OpenFile> OpenFiles::TryGet(int fd) {
  FileStamp stamp;
  if (!ReadStamp(fd, &stamp)) return nullptr;
  files_.erase(std::remove_if(files_.begin(), files_.end(), [](const auto& file) { return file.expired(); }),
               files_.end());
  for (const std::weak_ptr<OpenFile>& known : files_) {
    std::shared_ptr<OpenFile> file = known.lock();
    if (file != nullptr && file->stamp() == stamp) return file;
  }
  std::shared_ptr<OpenFile> file = OpenFile::TryOpen(fd);
  if (file != nullptr) files_.push_back(file);
  return file;
}

#else

std::shared_ptr<OpenFile> OpenFile::TryOpen(int) { return nullptr; }
OpenFile::~OpenFile() {}
bool OpenFile::IsUnchanged() const { return false; }
bool OpenFile::Read(int64_t, int64_t, uint8_t*) const { return false; }
std::shared_ptr<OpenFile> OpenFiles::TryGet(int) { return nullptr; }

#endif

}  // namespace octavo
