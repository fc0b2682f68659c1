// The part of a download that has arrived: FILE.part beside FILE. Only a whole, checked file gets
// FILE's name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace cdsp {

class PartFile {
 public:
  /// Opens (or creates) `target`.part and locks it against other processes until destroyed.
  /// Throws WorkError if another process holds it or the disk says no.
  explicit PartFile(const std::filesystem::path& target);
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  /// An empty part is deleted; any other stays for the next attempt.
  ~PartFile();

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }

  void append(const void* data, size_t bytes);
  void clear();
  /// Flushes to the disk and renames to the target's name; the object is then of no further use.
  void rename_to_target();

 private:
  [[noreturn]] void fail(const char* doing, int code) const;

  std::filesystem::path target_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  bool renamed_ = false;
};

}  // namespace cdsp
