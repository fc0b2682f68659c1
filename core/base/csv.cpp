#include "base/csv.h"

#include <charconv>
#include <cmath>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// The integer that starts a complete row, if there is one.
std::optional<int64_t> key_of(const std::string& row) {
  int64_t key = 0;
  const auto [end, code] = std::from_chars(row.data(), row.data() + row.size(), key);
  if (code != std::errc() || end == row.data() + row.size() || *end != ',') return std::nullopt;
  return key;
}

}  // namespace

std::string csv_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, result.ptr};
}

CsvRow& CsvRow::add(const std::string& text) {
  if (!empty_) text_ += ',';
  empty_ = false;
  text_ += text;
  return *this;
}

CsvRow& CsvRow::add(const std::vector<double>& values) {
  for (const double value : values) add(value);
  return *this;
}

GrowingCsv::GrowingCsv(fs::path path, const CsvRow& header, std::optional<int64_t> keep_up_to)
    : path_(std::move(path)) {
  std::string content = header.text() + '\n';
  if (keep_up_to && fs::exists(path_)) {
    std::istringstream old(read_file(path_));
    std::string row;
    std::getline(old, row);
    if (row != header.text())
      throw InputError(path_.string() + ": line 1: has other columns than this run writes");
    // getline sets eof on a last line without its newline: such a row was cut off and is dropped.
    while (std::getline(old, row) && !old.eof()) {
      const auto key = key_of(row);
      if (!key || *key > *keep_up_to) continue;
      content += row + '\n';
      last_key_ = *key;
    }
  }
  write_file_atomically(path_, content);
  size_ = content.size();
  stream_.open(path_, std::ios::binary | std::ios::app);
  if (!stream_) throw WorkError(path_.string() + ": cannot be opened for writing");
}

void GrowingCsv::append(const CsvRow& row) {
  stream_ << row.text() << '\n';
  stream_.flush();
  if (!stream_) {
    std::error_code ignored;
    stream_.close();
    fs::resize_file(path_, size_, ignored);
    throw WorkError(path_.string() + ": writing failed (disk full?)");
  }
  size_ += row.text().size() + 1;
  last_key_ = key_of(row.text()).value_or(last_key_);
}

}  // namespace cdsp
