// Comma-separated tables read back.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cdsp {

/// A table as this program writes it: one line of column names, then rows of as many cells, without
/// quotes. A last line without its newline, which a run at work may just be writing, does not
/// count.
class CsvTable {
 public:
  CsvTable() = default;
  /// Throws InputError naming the file and the line: it is missing, empty, or a row has another
  /// number of cells than the heading.
  explicit CsvTable(const std::filesystem::path& path);

  const std::vector<std::string>& columns() const { return columns_; }
  size_t rows() const { return rows_.size(); }
  std::optional<size_t> find(const std::string& column) const;
  /// The cell's text.
  const std::string& text(size_t row, size_t column) const { return rows_[row][column]; }
  /// The cell's number, NaN for an empty cell. Throws InputError naming file, line and column if it
  /// holds anything else.
  double number(size_t row, size_t column) const;
  /// A whole column of numbers. Throws InputError if there is no such column.
  std::vector<double> numbers(const std::string& column) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cdsp
