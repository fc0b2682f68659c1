// The bytes of a plain or gzip-compressed file, read in order through a small buffer.
//
// Unlike zlib's own file functions this one tells a truncated file from a damaged one and does not
// pass over bytes that follow the compressed data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

struct z_stream_s;

namespace cdsp {

class ByteReader {
 public:
  /// Opens `path`; a name that ends in .gz must hold gzip data, any other is read as it is.
  /// Throws InputError if it is missing, a folder, unreadable, empty, or named .gz without being
  /// it.
  explicit ByteReader(std::filesystem::path path);
  ~ByteReader();
  ByteReader(ByteReader&&) noexcept;
  ByteReader& operator=(ByteReader&&) noexcept;

  const std::filesystem::path& path() const { return path_; }
  bool is_compressed() const { return inflater_ != nullptr; }
  /// Bytes on the disk.
  int64_t file_size() const { return file_size_; }
  /// No more bytes than this can come out of the file, whatever its content says.
  int64_t most_bytes() const;

  /// Fills `destination` with the next `size` bytes; returns fewer only at the end of the file.
  /// Throws InputError if the compressed data is truncated, damaged (its checksum included) or
  /// followed by other bytes.
  size_t read(uint8_t* destination, size_t size);

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  struct EndInflate {
    void operator()(z_stream_s* stream) const;
  };

  bool refill();
  size_t read_plain(uint8_t* destination, size_t size);
  size_t read_compressed(uint8_t* destination, size_t size);
  void check_magic();

  std::filesystem::path path_;
  int64_t file_size_ = 0;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::unique_ptr<z_stream_s, EndInflate> inflater_;
  std::vector<uint8_t> input_;   // compressed bytes on their way
  bool member_is_over_ = false;  // the gzip member ended, checksum and all
};

}  // namespace cdsp
