#include "data/part_file.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;

void PartFile::fail(const char* doing, int code) const {
  throw WorkError(path_.string() + ": " + doing + " failed: " + std::strerror(code));
}

PartFile::PartFile(const fs::path& target) : target_(target), path_(target.string() + ".part") {
  while (descriptor_ < 0) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("opening", errno);
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int code = errno;
      ::close(descriptor_);
      if (code == EWOULDBLOCK)
        throw WorkError(path_.string() + ": another process is downloading this file");
      fail("locking", code);
    }
    // Between opening and locking, another process may have finished the file and renamed it.
    struct stat opened {
    }, named{};
    const bool is_same = ::fstat(descriptor_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 &&
                         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (is_same) {
      size_ = static_cast<int64_t>(opened.st_size);
    } else {
      ::close(descriptor_);
      descriptor_ = -1;
    }
  }
  if (::lseek(descriptor_, 0, SEEK_END) < 0) {
    const int code = errno;
    ::close(descriptor_);
    fail("positioning", code);
  }
}

PartFile::~PartFile() {
  if (!renamed_ && size_ == 0) ::unlink(path_.c_str());
  ::close(descriptor_);
}

void PartFile::append(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("writing", errno);
    }
    next += written;
    bytes -= static_cast<size_t>(written);
    size_ += written;
  }
}

void PartFile::clear() {
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) < 0)
    fail("truncating", errno);
  size_ = 0;
}

void PartFile::rename_to_target() {
  if (::fsync(descriptor_) != 0) fail("flushing to disk", errno);
  if (::rename(path_.c_str(), target_.c_str()) != 0) fail("renaming into place", errno);
  renamed_ = true;
  sync_path(target_.has_parent_path() ? target_.parent_path() : fs::path("."));
}

}  // namespace cdsp
