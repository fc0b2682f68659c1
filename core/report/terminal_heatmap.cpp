#include "report/terminal_heatmap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "report/colour_scale.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

constexpr std::array<const char*, 5> kBlocks = {" ", "░", "▒", "▓", "█"};
constexpr std::array<const char*, 5> kCharacters = {" ", ".", "+", "*", "#"};

std::string padded(const std::string& text, int64_t columns) {
  return text +
         std::string(static_cast<size_t>(std::max<int64_t>(0, columns - display_width(text))), ' ');
}

constexpr int64_t kCellColumns = 6;

/// A space, the share, its shade.
std::string cell(double share, double largest, const Terminal& terminal) {
  const std::string number = fixed_number(share, 2);
  const double position = share / largest;
  if (terminal.colours) {
    const Colour colour = viridis(position);
    return "\x1b[48;5;" + std::to_string(terminal_colour(colour)) + ";38;5;" +
           (needs_white_text(colour) ? "231" : "16") + "m " + number + " \x1b[0m";
  }
  const auto& shades = terminal.unicode ? kBlocks : kCharacters;
  const double step = std::isfinite(position) ? std::clamp(position, 0.0, 1.0) * 4.0 : 0.0;
  return " " + number + shades[static_cast<size_t>(std::lround(step))];
}

/// "   E7", over the share.
std::string label(size_t expert) {
  const std::string name = "E" + std::to_string(expert);
  const size_t blanks = std::min<size_t>(3, 6 - name.size());  // names end at E4095
  return padded(std::string(blanks, ' ') + name, kCellColumns);
}

/// Ends the last line, without blanks that nobody sees.
void end_line(std::string& text) {
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace

std::string terminal_heatmap(const RoutingRows& table, const std::vector<std::string>& tasks,
                             double largest, const Terminal& terminal) {
  int64_t name_width = 0;
  for (const std::string& task : tasks) name_width = std::max(name_width, display_width(task));
  const size_t experts = table.front().size();
  const int64_t fitting = (terminal.columns - name_width - 1) / kCellColumns;
  const size_t per_line =
      terminal.columns == 0 ? experts : static_cast<size_t>(std::max<int64_t>(1, fitting));
  std::string text;
  for (size_t first = 0; first < experts; first += per_line) {
    const size_t end = std::min(first + per_line, experts);
    text += padded("", name_width + 1);
    for (size_t expert = first; expert < end; ++expert) text += label(expert);
    end_line(text);
    for (size_t task = 0; task < table.size(); ++task) {
      text += padded(tasks[task], name_width + 1);
      for (size_t expert = first; expert < end; ++expert)
        text += cell(table[task][expert], largest, terminal);
      end_line(text);
    }
  }
  return text;
}

double largest_share(const RoutingRows& table) {
  double largest = 1e-6;
  for (const auto& row : table) {
    for (const double share : row) largest = std::max(largest, share);
  }
  return largest;
}

}  // namespace cdsp
