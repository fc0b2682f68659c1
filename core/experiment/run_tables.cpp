#include "experiment/run_tables.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',')
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

}  // namespace

CsvTable::CsvTable(const fs::path& file) : file_(file) {
  std::istringstream text(read_file(file));
  std::string line;
  for (int64_t number = 1; std::getline(text, line) && !text.eof(); ++number) {
    std::vector<std::string> cells = split(line);
    if (number == 1) {
      heading_ = std::move(cells);
      continue;
    }
    if (cells.size() != heading_.size()) {
      throw InputError(file.string() + ": line " + std::to_string(number) + ": has " +
                       std::to_string(cells.size()) + " cells, the heading has " +
                       std::to_string(heading_.size()));
    }
    cells_.push_back(std::move(cells));
  }
  if (heading_.empty()) throw InputError(file.string() + ": has no heading");
}

bool CsvTable::has(const std::string& column) const {
  return std::find(heading_.begin(), heading_.end(), column) != heading_.end();
}

std::vector<double> CsvTable::numbers(const std::string& column) const {
  const auto found = std::find(heading_.begin(), heading_.end(), column);
  if (found == heading_.end())
    throw InputError(file_.string() + ": line 1: has no column '" + column + "'");
  const auto index = static_cast<size_t>(found - heading_.begin());
  std::vector<double> values;
  values.reserve(cells_.size());
  for (size_t row = 0; row < cells_.size(); ++row) {
    values.push_back(number_of(
        cells_[row][index],
        file_.string() + ": line " + std::to_string(row + 2) + ": column '" + column + "'"));
  }
  return values;
}

double number_of(std::string_view text, const std::string& place) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (text.empty()) return value;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size())
    throw InputError(place + ": '" + std::string(text) + "' is no number");
  return value;
}

std::vector<std::vector<std::vector<double>>> read_layer_tables(const fs::path& file) {
  const CsvTable table(file);
  const std::vector<double> layers = table.numbers("layer");
  std::vector<std::vector<double>> columns;
  for (const std::string& name : table.heading()) {
    if (name.rfind("expert_", 0) == 0) columns.push_back(table.numbers(name));
  }
  std::vector<std::vector<std::vector<double>>> result;
  for (size_t row = 0; row < table.rows(); ++row) {
    if (row == 0 || layers[row] != layers[row - 1]) result.emplace_back();
    std::vector<double> values;
    values.reserve(columns.size());
    for (const auto& column : columns) values.push_back(column[row]);
    result.back().push_back(std::move(values));
  }
  if (result.empty() || columns.empty())
    throw InputError(file.string() + ": holds no table of experts");
  return result;
}

fs::path epoch_table(const fs::path& folder, int64_t epoch) {
  char name[32];
  std::snprintf(name, sizeof name, "epoch_%03lld.csv", static_cast<long long>(epoch));
  return folder / name;
}

}  // namespace cdsp
