#include "report/page/html_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "base/csv.h"
#include "report/text_table.h"

namespace cdsp::page {
namespace {

std::string number_text(double value, const MeasureStyle& style, bool sign) {
  std::string text = fixed_number(style.scale * value, style.decimals);
  // What rounds to nothing has no sign.
  if (text.find_first_not_of("-0.") == std::string::npos && text.size() > 1) {
    text.erase(0, text.find_first_not_of('-'));
    return text;
  }
  return sign && std::isfinite(value) && value >= 0 ? "+" + text : text;
}

/// Longer texts are broken into lines.
constexpr size_t kLongText = 26;

/// The number that a cell begins with, NaN if it begins with none: "0.12 [0.10, 0.14]" is 0.12.
double leading_number(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const bool whole = end != text.c_str() && (*end == '\0' || *end == ' ');
  return whole ? number : std::nan("");
}

}  // namespace

HtmlTable::HtmlTable(std::string caption, std::vector<Column> columns)
    : caption_(std::move(caption)), columns_(std::move(columns)) {}

void HtmlTable::add_row(const std::vector<Cell>& cells) {
  if (cells.size() != columns_.size())
    throw std::logic_error("a row of another length: " + caption_);
  Html row;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string sort = std::isnan(cells[i].sort_by) ? "" : csv_number(cells[i].sort_by);
    const char* piece = i == 0                             ? "row-heading"
                        : columns_[i].numeric              ? "number-cell"
                        : cells[i].text.size() > kLongText ? "words-cell"
                                                           : "text-cell";
    row += fill(piece, {{"text", cells[i].text}, {"sort", sort}});
  }
  rows_ += fill("table-row", {{"cells", row}});
}

Html HtmlTable::html() const {
  Html heading;
  for (const Column& column : columns_) {
    heading += fill("column-heading",
                    {{"label", column.label}, {"kind", column.numeric ? "number" : "text"}});
  }
  return fill("table", {{"caption", caption_}, {"heading", heading}, {"rows", rows_}});
}

Html html_of_table(const TableData& data) {
  if (data.columns.empty()) return {};
  std::vector<Column> columns;
  for (size_t column = 0; column < data.columns.size(); ++column) {
    const bool numeric = std::all_of(data.rows.begin(), data.rows.end(), [&](const auto& row) {
      return row[column].empty() || std::isfinite(leading_number(row[column]));
    });
    columns.push_back({data.columns[column], numeric && column > 0});
  }
  HtmlTable table(data.title, columns);
  for (const auto& row : data.rows) {
    std::vector<Cell> cells;
    for (const std::string& text : row) {
      cells.emplace_back(text.empty() ? "-" : text, leading_number(text));
    }
    table.add_row(cells);
  }
  return table.html();
}

Cell mean_cell(const MeasuredData& measured, const MeasureStyle& style) {
  std::string text = number_text(measured.mean, style, style.sign);
  if (std::isfinite(measured.std)) text += " ± " + number_text(measured.std, style, false);
  return {text, measured.mean};
}

Cell interval_cell(const MeasuredData& measured, const MeasureStyle& style) {
  if (!measured.interval) return {"-"};
  return {number_text(measured.interval->first, style, style.sign) + " to " +
              number_text(measured.interval->second, style, style.sign),
          measured.interval->first};
}

Cell number_cell(double value, const MeasureStyle& style) {
  return {number_text(value, style, style.sign), value};
}

std::string seeds_in_words(const std::vector<uint64_t>& seeds) {
  bool run = seeds.size() > 3;
  for (size_t i = 1; i < seeds.size(); ++i) run = run && seeds[i] == seeds[i - 1] + 1;
  if (run) return std::to_string(seeds.front()) + " to " + std::to_string(seeds.back());
  std::string text;
  for (const uint64_t seed : seeds) text += (text.empty() ? "" : ", ") + std::to_string(seed);
  return text;
}

}  // namespace cdsp::page
