// Comma-separated tables: numbers that read back to the same double, rows that reach the disk one
// by one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace cdsp {

/// The shortest decimal text that reads back to exactly `value`; "nan", "inf", "-inf" as pandas
/// reads them.
std::string csv_number(double value);

/// One row in the making. An absent value is an empty cell.
class CsvRow {
 public:
  CsvRow& add(const std::string& text);  // written as it stands: names without commas or quotes
  CsvRow& add(double value) { return add(csv_number(value)); }
  CsvRow& add(int64_t value) { return add(std::to_string(value)); }
  CsvRow& add(const std::optional<double>& value) {
    return add(value ? csv_number(*value) : std::string());
  }
  CsvRow& add(const std::vector<double>& values);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  bool empty_ = true;
};

/// A table that grows while a run goes on. Each row is flushed to the operating system as it is
/// written.
class GrowingCsv {
 public:
  /// Starts the file with `header`, or, if `keep_up_to` is given, keeps the existing file's rows
  /// whose first column is at most that number and drops the rest (a half-written last row too).
  /// Throws InputError if an existing file has another header, WorkError if the disk says no.
  GrowingCsv(std::filesystem::path path, const CsvRow& header,
             std::optional<int64_t> keep_up_to = {});
  /// Throws WorkError if the disk says no; the table then ends with its last whole row.
  void append(const CsvRow& row);
  /// First column of the last row, 0 if there is none.
  int64_t last_key() const { return last_key_; }

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
  int64_t last_key_ = 0;
  uintmax_t size_ = 0;  // bytes of whole rows
};

}  // namespace cdsp
