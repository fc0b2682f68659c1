#include "report/page/html_table.h"

#include <cmath>
#include <map>
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

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// "alpha_sparsity" -> "Alpha sparsity"
std::string words_of(const std::string& name) {
  std::string words = name;
  for (char& c : words) {
    if (c == '_') c = ' ';
  }
  if (!words.empty() && words[0] >= 'a' && words[0] <= 'z') {
    words[0] = static_cast<char>(words[0] - 'a' + 'A');
  }
  return words;
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

MeasureStyle style_of_measure(const std::string& name) {
  static const std::map<std::string, std::string> titles = {
      {"train_loss", "Training loss (nats)"},
      {"test_loss", "Test loss (nats)"},
      {"train_accuracy", "Training accuracy (%)"},
      {"test_accuracy", "Test accuracy (%)"},
      {"blind_accuracy", "Test accuracy, task withheld (%)"},
      {"blind_accuracy_drop", "Drop when the task is withheld (points)"},
      {"separation_index", "Separation index, informed (bits)"},
      {"blind_separation_index", "Separation index, task withheld (bits)"},
      {"nmi", "NMI of task and expert"},
      {"alpha_sparsity", "Alpha sparsity"},
      {"structural_entropy", "Structural entropy (bits)"},
      {"test_accuracy_gap_to_baseline", "Test accuracy, gap to baseline (points)"},
      {"train_accuracy_gap_to_baseline", "Training accuracy, gap to baseline (points)"}};
  const auto title = titles.find(name);
  MeasureStyle style;
  style.title = title == titles.end() ? words_of(name) : title->second;
  const bool accuracy = name.find("accuracy") != std::string::npos;
  style.sign = name.find("_gap_") != std::string::npos || ends_with(name, "_drop");
  if (accuracy) {
    style.scale = 100;
    style.decimals = 2;
    if (title == titles.end()) style.title += style.sign ? " (points)" : " (%)";
  } else if (name.find("loss") != std::string::npos) {
    style.decimals = 4;
  }
  return style;
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

std::string seeds_in_words(const std::vector<int64_t>& seeds) {
  bool run = seeds.size() > 3;
  for (size_t i = 1; i < seeds.size(); ++i) run = run && seeds[i] == seeds[i - 1] + 1;
  if (run) return std::to_string(seeds.front()) + " to " + std::to_string(seeds.back());
  std::string text;
  for (const int64_t seed : seeds) text += (text.empty() ? "" : ", ") + std::to_string(seed);
  return text;
}

}  // namespace cdsp::page
