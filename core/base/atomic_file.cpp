#include "base/atomic_file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// Of what has no size of its own (a pipe, a device), which may have no end either.
constexpr size_t kMostOfStream = size_t{64} << 20;

[[noreturn]] void fail(const fs::path& path, const char* doing, int code) {
  throw WorkError(path.string() + ": " + doing + " failed: " + std::strerror(code));
}

/// Closes and, unless kept, deletes the file written beside the target.
class FileBeside {
 public:
  FileBeside(fs::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  FileBeside(const FileBeside&) = delete;
  FileBeside& operator=(const FileBeside&) = delete;
  ~FileBeside() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!kept_) ::unlink(path_.c_str());
  }
  void close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    // Delayed allocation and network file systems report a full disk only here.
    if (::close(descriptor) != 0) fail(path_, "closing", errno);
  }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  int descriptor_;
  bool kept_ = false;
};

}  // namespace

void sync_path(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "opening", errno);
  const int result = ::fsync(descriptor);
  const int code = errno;
  ::close(descriptor);
  // Some file systems cannot sync a folder and say so with EINVAL; the rename is as durable as they
  // get.
  if (result != 0 && code != EINVAL) fail(path, "flushing to disk", code);
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  const fs::path beside = path.string() + ".partial." + std::to_string(::getpid());
  const int descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) fail(beside, "creating", errno);
  FileBeside guard(beside, descriptor);
  const char* data = content.data();
  size_t left = content.size();
  while (left > 0) {
    const ssize_t written = ::write(descriptor, data, left);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(beside, "writing", errno);
    }
    data += written;
    left -= static_cast<size_t>(written);
  }
  if (::fsync(descriptor) != 0) fail(beside, "flushing to disk", errno);
  guard.close();
  if (::rename(beside.c_str(), path.c_str()) != 0) fail(path, "renaming into place", errno);
  guard.keep();
  sync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

std::string read_file(const fs::path& path) {
  std::error_code code;
  const auto status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) throw InputError(path.string() + ": no such file");
  if (fs::is_directory(status)) throw InputError(path.string() + ": is a folder, a file is needed");
  std::ifstream stream(path, std::ios::binary);
  if (!stream)
    throw InputError(path.string() + ": cannot be opened for reading: " + std::strerror(errno));
  std::string content;
  std::array<char, size_t{1} << 16> piece{};
  while (stream) {
    stream.read(piece.data(), piece.size());
    content.append(piece.data(), static_cast<size_t>(stream.gcount()));
    if (content.size() > kMostOfStream && !fs::is_regular_file(status)) {
      throw InputError(path.string() + ": gives more than " + std::to_string(kMostOfStream >> 20) +
                       " MiB; only an ordinary file may be that long");
    }
  }
  if (stream.bad()) throw InputError(path.string() + ": cannot be read");
  return content;
}

}  // namespace cdsp
