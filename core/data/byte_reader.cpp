#include "data/byte_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <zlib.h>

#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBufferSize = size_t{1} << 17;
constexpr int64_t kMostDeflateCanShrink = 1032;  // 258 bytes for two bits
constexpr int kGzipOnly = 16;                    // added to the window bits

[[noreturn]] void fail(const fs::path& path, const std::string& problem) {
  throw InputError(path.string() + ": " + problem);
}

}  // namespace

void ByteReader::EndInflate::operator()(z_stream_s* stream) const {
  inflateEnd(stream);
  delete stream;
}

ByteReader::~ByteReader() = default;
ByteReader::ByteReader(ByteReader&&) noexcept = default;
ByteReader& ByteReader::operator=(ByteReader&&) noexcept = default;

ByteReader::ByteReader(fs::path path) : path_(std::move(path)) {
  std::error_code code;
  const fs::file_status status = fs::status(path_, code);
  if (!fs::exists(status)) fail(path_, "no such file");
  if (fs::is_directory(status)) fail(path_, "is a folder, a file is needed");
  if (!fs::is_regular_file(status)) fail(path_, "is no ordinary file");
  file_.reset(std::fopen(path_.c_str(), "rb"));
  if (!file_) fail(path_, std::string("cannot be opened for reading: ") + std::strerror(errno));
  file_size_ = static_cast<int64_t>(fs::file_size(path_, code));
  if (code) fail(path_, "cannot be read: " + code.message());
  if (file_size_ == 0) fail(path_, "is empty");
  if (path_.extension() != ".gz") return;

  auto stream = std::make_unique<z_stream>();
  if (inflateInit2(stream.get(), MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  inflater_.reset(stream.release());
  input_.resize(kBufferSize);
  refill();
  check_magic();
}

int64_t ByteReader::most_bytes() const {
  if (!is_compressed()) return file_size_;
  if (file_size_ > std::numeric_limits<int64_t>::max() / kMostDeflateCanShrink)
    return std::numeric_limits<int64_t>::max();
  return file_size_ * kMostDeflateCanShrink;
}

size_t ByteReader::read(uint8_t* destination, size_t size) {
  return is_compressed() ? read_compressed(destination, size) : read_plain(destination, size);
}

size_t ByteReader::read_plain(uint8_t* destination, size_t size) {
  const size_t got = std::fread(destination, 1, size, file_.get());
  if (std::ferror(file_.get()) != 0)
    fail(path_, std::string("cannot be read: ") + std::strerror(errno));
  return got;
}

bool ByteReader::refill() {
  const size_t got = read_plain(input_.data(), input_.size());
  inflater_->next_in = input_.data();
  inflater_->avail_in = static_cast<uInt>(got);
  return got > 0;
}

void ByteReader::check_magic() {
  const uInt available = inflater_->avail_in;
  const bool is_gzip = (available < 1 || inflater_->next_in[0] == 0x1f) &&
                       (available < 2 || inflater_->next_in[1] == 0x8b);
  if (!is_gzip) fail(path_, "is named .gz but does not start as gzip data does (1f 8b)");
}

size_t ByteReader::read_compressed(uint8_t* destination, size_t size) {
  size_t done = 0;
  while (done < size) {
    if (inflater_->avail_in == 0 && !refill()) {
      if (member_is_over_) break;
      fail(path_, "is truncated: the compressed data breaks off after " +
                      std::to_string(file_size_) + " bytes");
    }
    if (member_is_over_) {  // gzip allows several members one after the other
      if (inflater_->next_in[0] != 0x1f)
        fail(path_, "has other bytes after the end of the compressed data");
      inflateReset(inflater_.get());
      member_is_over_ = false;
    }
    const size_t wanted = std::min(size - done, size_t{1} << 30);
    inflater_->next_out = destination + done;
    inflater_->avail_out = static_cast<uInt>(wanted);
    const int result = inflate(inflater_.get(), Z_NO_FLUSH);
    done += wanted - inflater_->avail_out;
    if (result == Z_STREAM_END) {
      member_is_over_ = true;
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      const char* reason = inflater_->msg != nullptr ? inflater_->msg : "unknown reason";
      fail(path_, std::string("is damaged: the compressed data does not unpack (") + reason + ")");
    }
  }
  return done;
}

}  // namespace cdsp
