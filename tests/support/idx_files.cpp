#include "support/idx_files.h"

#include <fstream>
#include <stdexcept>

#include <zlib.h>

#include "base/random.h"

namespace cdsp::test {
namespace fs = std::filesystem;
namespace {

void write_file(const fs::path& path, const std::string& content) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  if (!stream) throw std::runtime_error(path.string() + " cannot be written");
}

void write_packed(const fs::path& path, const std::string& content, Packing packing) {
  if (packing == Packing::kPlain) {
    write_file(path, content);
  } else {
    write_file(path.string() + ".gz", gzip_bytes(content));
  }
}

void write_random_split(const fs::path& folder, const std::string& prefix, const RandomTask& task,
                        int64_t count, uint64_t stream_index) {
  RandomStream stream(task.seed, RandomPurpose::kTest, stream_index);
  std::vector<uint8_t> pixels(static_cast<size_t>(count * task.rows * task.cols));
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(stream.next_u32() >> 24);
  std::vector<uint8_t> labels(static_cast<size_t>(count));
  for (size_t i = 0; i < labels.size(); ++i)
    labels[i] = static_cast<uint8_t>(static_cast<int64_t>(i) % task.classes);
  write_idx_split(folder, prefix, pixels, labels, task.rows, task.cols, task.packing);
}

}  // namespace

std::string idx_bytes(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& payload) {
  std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
  for (const uint32_t size : shape) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 255u);
  }
  bytes.append(payload.begin(), payload.end());
  return bytes;
}

std::string gzip_bytes(const std::string& content, int level) {
  z_stream stream{};
  constexpr int kGzip = 16;
  if (deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("zlib cannot be started");
  }
  std::string packed(deflateBound(&stream, content.size()), '\0');
  std::string input = content;  // zlib wants it writable
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("zlib cannot pack the content");
  return packed;
}

void write_idx_split(const fs::path& folder, const std::string& prefix,
                     const std::vector<uint8_t>& pixels, const std::vector<uint8_t>& labels,
                     int64_t rows, int64_t cols, Packing packing) {
  fs::create_directories(folder);
  const auto count = static_cast<uint32_t>(labels.size());
  const std::vector<uint32_t> shape = {count, static_cast<uint32_t>(rows),
                                       static_cast<uint32_t>(cols)};
  write_packed(folder / (prefix + "-images-idx3-ubyte"), idx_bytes(shape, pixels), packing);
  write_packed(folder / (prefix + "-labels-idx1-ubyte"), idx_bytes({count}, labels), packing);
}

void write_idx_task(const fs::path& folder, const RandomTask& task) {
  write_random_split(folder, "train", task, task.train, 0);
  write_random_split(folder, "t10k", task, task.test, 1);
}

}  // namespace cdsp::test
