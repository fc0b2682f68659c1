// A small table: aligned text for the terminal, or Markdown.
#pragma once

#include <string>
#include <vector>

namespace cdsp {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  /// As many cells as the heading has.
  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  /// The first column left-aligned, the others right-aligned, two spaces between; a rule below the
  /// heading.
  std::string text() const;
  std::string markdown() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// A number with so many decimals; "-" if it is not finite.
std::string fixed_number(double value, int decimals);
/// A fraction as per cent without the sign, "94.54"; "-" if it is not finite.
std::string per_cent(double fraction, int decimals = 2);

}  // namespace cdsp
