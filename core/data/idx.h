// IDX files, the format of MNIST and its relatives: a big-endian header (two zero bytes, the
// element type, the number of dimensions, then one 32-bit size per dimension) followed by the
// elements, row-major. Only unsigned bytes (type 0x08) are read here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/byte_reader.h"

namespace cdsp {

/// The file `folder`/`name` or, if that is not there, `folder`/`name`.gz.
/// Throws InputError naming both if neither is.
std::filesystem::path find_idx_file(const std::filesystem::path& folder, const std::string& name);

/// Reads one IDX file from front to back into buffers of the caller. Nothing is held twice, and no
/// size in a header is believed before the file's own size has confirmed that it can be true.
class IdxReader {
 public:
  /// Opens `path` (plain, or .gz) and reads its header, which must have `dimensions` dimensions (1
  /// for labels, 3 for images), none of them 0. Throws InputError naming the file, what was found
  /// and what is needed. A plain file's length is checked here, a compressed one's in finish().
  IdxReader(const std::filesystem::path& path, int64_t dimensions);

  const std::filesystem::path& path() const { return bytes_.path(); }
  /// [dimensions]; the first is the number of items.
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t items() const { return shape_.front(); }
  /// Bytes of one item, the product of the other dimensions.
  int64_t item_bytes() const { return item_bytes_; }

  /// Copies the next `count` items to `destination` [count, item_bytes()]. Throws InputError if the
  /// file ends before that or is damaged.
  void read(int64_t count, uint8_t* destination);

  /// Reads over the items left and checks that the file ends there. Throws InputError if it is
  /// truncated, damaged, or longer than its header says.
  void finish();

 private:
  void read_header(int64_t dimensions);
  void check_announced_size() const;
  [[noreturn]] void fail(const std::string& problem) const;
  [[noreturn]] void fail_truncated(int64_t items_read) const;

  ByteReader bytes_;
  std::vector<int64_t> shape_;
  int64_t item_bytes_ = 1;
  int64_t items_read_ = 0;
};

}  // namespace cdsp
