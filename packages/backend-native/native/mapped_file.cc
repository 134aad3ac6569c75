#include "mapped_file.h"

#include <algorithm>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
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

std::shared_ptr<MappedFile> MappedFile::TryMap(int fd) {
  FileStamp stamp;
  if (!ReadStamp(fd, &stamp) || stamp.bytes == 0) return nullptr;
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  void* data = mmap(nullptr, static_cast<size_t>(stamp.bytes), PROT_READ, MAP_SHARED, own, 0);
  if (data == MAP_FAILED) {
    close(own);
    return nullptr;
  }
  return std::shared_ptr<MappedFile>(new MappedFile(own, static_cast<uint8_t*>(data), stamp));
}

MappedFile::~MappedFile() {
  munmap(data_, static_cast<size_t>(stamp_.bytes));
  close(fd_);
}

bool MappedFile::IsUnchanged() const {
  FileStamp stamp;
  return ReadStamp(fd_, &stamp) && stamp == stamp_;
}

std::shared_ptr<MappedFile> MappedFiles::TryGet(int fd) {
  FileStamp stamp;
  if (!ReadStamp(fd, &stamp)) return nullptr;
  files_.erase(std::remove_if(files_.begin(), files_.end(), [](const auto& file) { return file.expired(); }),
               files_.end());
  for (const std::weak_ptr<MappedFile>& known : files_) {
    std::shared_ptr<MappedFile> file = known.lock();
    if (file != nullptr && file->stamp() == stamp) return file;
  }
  std::shared_ptr<MappedFile> file = MappedFile::TryMap(fd);
  if (file != nullptr) files_.push_back(file);
  return file;
}

#else

std::shared_ptr<MappedFile> MappedFile::TryMap(int) { return nullptr; }
MappedFile::~MappedFile() {}
bool MappedFile::IsUnchanged() const { return false; }
std::shared_ptr<MappedFile> MappedFiles::TryGet(int) { return nullptr; }

#endif

}  // namespace octavo
