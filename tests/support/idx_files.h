// Small IDX data sets for tests, and the pieces to build broken ones from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cdsp::test {

/// An IDX file of unsigned bytes: header for `shape`, then `payload` as it is, whether it fits or
/// not.
std::string idx_bytes(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& payload);

/// One gzip member.
std::string gzip_bytes(const std::string& content, int level = 6);

enum class Packing { kPlain, kGzip };

/// Writes FOLDER/PREFIX-images-idx3-ubyte[.gz] and FOLDER/PREFIX-labels-idx1-ubyte[.gz].
/// `pixels` is [labels.size(), rows, cols].
void write_idx_split(const std::filesystem::path& folder, const std::string& prefix,
                     const std::vector<uint8_t>& pixels, const std::vector<uint8_t>& labels,
                     int64_t rows, int64_t cols, Packing packing = Packing::kGzip);

struct RandomTask {
  int64_t train = 40;
  int64_t test = 20;
  int64_t rows = 28;
  int64_t cols = 28;
  int64_t classes = 10;
  uint64_t seed = 0;
  Packing packing = Packing::kGzip;
};

/// Writes both splits of a task into `folder`: random pixels, and labels 0, 1, ..., classes - 1, 0,
/// ...
void write_idx_task(const std::filesystem::path& folder, const RandomTask& task = {});

}  // namespace cdsp::test
