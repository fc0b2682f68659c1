#include "base/csv_table.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp {
namespace {

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  size_t start = 0;
  for (;;) {
    const size_t comma = line.find(',', start);
    cells.push_back(line.substr(start, comma - start));
    if (comma == std::string::npos) return cells;
    start = comma + 1;
  }
}

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& path) : path_(path) {
  const std::string content = read_file(path);
  size_t start = 0;
  for (int line = 1; start < content.size(); ++line) {
    const size_t end = content.find('\n', start);
    if (end == std::string::npos) break;
    auto cells = cells_of(content.substr(start, end - start));
    start = end + 1;
    if (line == 1) {
      columns_ = std::move(cells);
      continue;
    }
    if (cells.size() != columns_.size()) {
      throw InputError(path.string() + ":" + std::to_string(line) + ": has " +
                       std::to_string(cells.size()) + " cells, the heading has " +
                       std::to_string(columns_.size()));
    }
    rows_.push_back(std::move(cells));
  }
  if (columns_.empty()) throw InputError(path.string() + ": is empty; a line of columns is needed");
}

std::optional<size_t> CsvTable::find(const std::string& column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<size_t>(found - columns_.begin());
}

double CsvTable::number(size_t row, size_t column) const {
  const std::string& cell = rows_[row][column];
  if (cell.empty()) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (code != std::errc() || end != cell.data() + cell.size()) {
    throw InputError(path_.string() + ":" + std::to_string(row + 2) + ": column '" +
                     columns_[column] + "' holds '" + cell + "'; a number is needed");
  }
  return value;
}

std::vector<double> CsvTable::numbers(const std::string& column) const {
  const auto index = find(column);
  if (!index) throw InputError(path_.string() + ": has no column '" + column + "'");
  std::vector<double> values(rows_.size());
  for (size_t row = 0; row < rows_.size(); ++row) values[row] = number(row, *index);
  return values;
}

}  // namespace cdsp
