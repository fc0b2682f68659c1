// A table of a page: with a caption, headings that name rows and columns, and the numbers by which
// it sorts.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "report/data/comparison_data.h"
#include "report/data/table_data.h"
#include "report/page/template.h"

namespace cdsp::page {

struct Column {
  std::string label;    // with its unit
  bool numeric = true;  // right-aligned, sorted by number
};

struct Cell {
  Cell(const std::string& shown) : text(shown) {}
  Cell(const char* shown) : text(shown) {}
  Cell(const std::string& shown, double by) : text(shown), sort_by(by) {}

  std::string text;
  double sort_by = std::numeric_limits<double>::quiet_NaN();  // NaN: by its text
};

class HtmlTable {
 public:
  /// The first column names the rows.
  HtmlTable(std::string caption, std::vector<Column> columns);
  /// As many cells as there are columns. Throws std::logic_error otherwise.
  void add_row(const std::vector<Cell>& cells);
  bool empty() const { return rows_.empty(); }
  Html html() const;

 private:
  std::string caption_;
  std::vector<Column> columns_;
  Html rows_;
};

/// A table as a file brings it: a column whose cells all begin with a number is one of numbers and
/// sorts by them.
Html html_of_table(const TableData& data);

/// How a measure is shown: accuracies in per cent, differences of accuracies in percentage points,
/// everything else as it is.
struct MeasureStyle {
  std::string title;  // "Test accuracy (%)"
  std::string unit;   // "%"; empty for a plain number
  double scale = 1;
  int decimals = 3;
  bool sign = false;  // differences show a plus
};
/// `tasks` name what a measure of two tasks (pearson_0_2) is about.
MeasureStyle style_of_measure(const std::string& name, const std::vector<std::string>& tasks = {});

/// "94.54 ± 0.12", "94.54" with one seed, "-" if undefined.
Cell mean_cell(const MeasuredData& measured, const MeasureStyle& style);
/// "94.41 to 94.67", "-" without an interval.
Cell interval_cell(const MeasuredData& measured, const MeasureStyle& style);
/// One number.
Cell number_cell(double value, const MeasureStyle& style);

/// "0, 1, 2" or "0 to 9".
std::string seeds_in_words(const std::vector<uint64_t>& seeds);

}  // namespace cdsp::page
