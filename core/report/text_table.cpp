#include "report/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "report/terminal.h"

namespace cdsp {

std::string TextTable::text() const {
  std::vector<int64_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(static_cast<size_t>(widths[i] - display_width(row[i])), ' ');
      if (i > 0) text += "  " + padding + row[i];
      if (i == 0) text += row[i] + (row.size() > 1 ? padding : "");
    }
    text += '\n';
    if (&row != &rows_.front()) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      text += (i == 0 ? "" : "  ") + std::string(static_cast<size_t>(widths[i]), '-');
    }
    text += '\n';
  }
  return text;
}

std::string TextTable::markdown() const {
  std::string text;
  for (const auto& row : rows_) {
    text += '|';
    for (const std::string& cell : row) text += ' ' + cell + " |";
    text += '\n';
    if (&row != &rows_.front()) continue;
    text += "|:--|";
    for (size_t i = 1; i < row.size(); ++i) text += "--:|";
    text += '\n';
  }
  return text;
}

std::string fixed_number(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string per_cent(double fraction, int decimals) {
  return fixed_number(100.0 * fraction, decimals);
}

}  // namespace cdsp
