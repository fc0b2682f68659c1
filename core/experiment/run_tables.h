// Reading the tables back that a run wrote (spec section 9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cdsp {

/// A CSV file of numbers and names with a heading.
class CsvTable {
 public:
  /// Throws InputError naming file and line: missing, empty, or a row with another number of cells.
  /// A last line without its newline is one that a run is still writing, and is left out.
  explicit CsvTable(const std::filesystem::path& file);

  size_t rows() const { return cells_.size(); }
  const std::vector<std::string>& heading() const { return heading_; }
  bool has(const std::string& column) const;
  /// The column's numbers, NaN for an empty cell. Throws InputError if there is no such column, or
  /// naming the first cell that is no number.
  std::vector<double> numbers(const std::string& column) const;

 private:
  std::filesystem::path file_;
  std::vector<std::string> heading_;
  std::vector<std::vector<std::string>> cells_;
};

/// The text as a number, empty text as NaN; throws InputError starting with `place`.
double number_of(std::string_view text, const std::string& place);

/// [layer][row][expert] of a table with the columns layer, a name of the row, expert_0 ...:
/// routing, topology and conflict files. Throws InputError.
std::vector<std::vector<std::vector<double>>> read_layer_tables(const std::filesystem::path& file);

/// FOLDER/epoch_NNN.csv for that epoch.
std::filesystem::path epoch_table(const std::filesystem::path& folder, int64_t epoch);

}  // namespace cdsp
