#include "data/idx.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr uint32_t kUnsignedBytes = 0x08;

uint32_t big_endian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | static_cast<uint32_t>(bytes[3]);
}

std::string hexadecimal(uint32_t value) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

}  // namespace

fs::path find_idx_file(const fs::path& folder, const std::string& name) {
  const fs::path plain = folder / name, compressed = folder / (name + ".gz");
  for (const fs::path& path : {plain, compressed}) {
    std::error_code code;
    if (fs::exists(path, code)) return path;
  }
  throw InputError(plain.string() + ": no such file, nor " + compressed.filename().string() +
                   " ('cdsp data fetch' downloads the public data sets)");
}

IdxReader::IdxReader(const fs::path& path, int64_t dimensions) : bytes_(path) {
  read_header(dimensions);
  check_announced_size();
  for (size_t i = 1; i < shape_.size(); ++i) item_bytes_ *= shape_[i];
}

void IdxReader::fail(const std::string& problem) const {
  throw InputError(path().string() + ": " + problem);
}

void IdxReader::fail_truncated(int64_t items_read) const {
  fail("is truncated: its header announces " + std::to_string(items()) + " items, it ends after " +
       std::to_string(items_read) + " whole ones");
}

void IdxReader::read_header(int64_t dimensions) {
  const size_t header_size = 4 * static_cast<size_t>(1 + dimensions);
  std::vector<uint8_t> header(header_size);
  const size_t got = bytes_.read(header.data(), header_size);
  const uint32_t needed = kUnsignedBytes << 8 | static_cast<uint32_t>(dimensions);
  if (got >= 4 && big_endian(header.data()) != needed) {
    fail("starts with " + hexadecimal(big_endian(header.data())) +
         ", an IDX file of unsigned bytes in " + std::to_string(dimensions) +
         (dimensions == 1 ? " dimension" : " dimensions") + " starts with " + hexadecimal(needed));
  }
  if (got < header_size) {
    fail("is truncated: it holds " + std::to_string(got) + " bytes, an IDX header of " +
         std::to_string(dimensions) + (dimensions == 1 ? " dimension" : " dimensions") + " takes " +
         std::to_string(header_size));
  }
  for (size_t i = 4; i < header_size; i += 4) shape_.push_back(big_endian(header.data() + i));
}

void IdxReader::check_announced_size() const {
  if (items() == 0) fail("holds no items: the first size in its header is 0");
  if (std::find(shape_.begin(), shape_.end(), 0) != shape_.end()) {
    fail("has the shape " + shape_text(shape_) + ", no size may be 0");
  }
  const int64_t header_size = 4 * static_cast<int64_t>(1 + shape_.size());
  const int64_t room = bytes_.most_bytes() - header_size;
  int64_t announced = 1;
  for (const int64_t size : shape_) {
    if (announced > std::numeric_limits<int64_t>::max() / size) {
      announced = std::numeric_limits<int64_t>::max();
      break;
    }
    announced *= size;
  }
  if (announced > room && bytes_.is_compressed()) {
    fail("is damaged: its header announces the shape " + shape_text(shape_) +
         ", more than a compressed file of " + std::to_string(bytes_.file_size()) +
         " bytes can hold");
  }
  if (announced != room && !bytes_.is_compressed()) {
    fail((announced > room ? "is truncated" : "has trailing bytes") +
         std::string(": its header announces the shape ") + shape_text(shape_) +
         (announced == std::numeric_limits<int64_t>::max()
              ? ""
              : ", " + std::to_string(announced) + " bytes") +
         ", but " + std::to_string(room) + " bytes follow it");
  }
}

void IdxReader::read(int64_t count, uint8_t* destination) {
  const size_t wanted = static_cast<size_t>(count * item_bytes_);
  const size_t got = bytes_.read(destination, wanted);
  items_read_ += static_cast<int64_t>(got) / item_bytes_;
  if (got < wanted) fail_truncated(items_read_);
}

void IdxReader::finish() {
  std::vector<uint8_t> scratch(size_t{1} << 16);
  int64_t left = (items() - items_read_) * item_bytes_;
  while (left > 0) {
    const size_t wanted = static_cast<size_t>(std::min(left, static_cast<int64_t>(scratch.size())));
    const size_t got = bytes_.read(scratch.data(), wanted);
    left -= static_cast<int64_t>(got);
    if (got < wanted) fail_truncated(items() - (left + item_bytes_ - 1) / item_bytes_);
  }
  if (bytes_.read(scratch.data(), 1) != 0) {
    fail("has trailing bytes after the " + std::to_string(items()) +
         " items that its header announces");
  }
}

}  // namespace cdsp
