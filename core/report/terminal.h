// What the terminal (or the file) behind a descriptor can show, and how wide a text is on it.
#pragma once

#include <cstdint>
#include <string>

namespace cdsp {

/// Abilities of an output. A file or a pipe has none of them.
struct Terminal {
  bool can_redraw = false;  // a line may be drawn again in place
  bool colours = false;     // 256 colours; off with NO_COLOR (https://no-color.org)
  bool unicode = false;     // block characters and the like
  int64_t columns = 0;      // that a line has; 0 = as many as it needs
};

Terminal describe_terminal(int descriptor);

/// Columns of the terminal behind `descriptor` at this moment; 80 if nobody knows.
int64_t terminal_width(int descriptor);

/// Columns that UTF-8 text takes: one for each character; what this program prints has no wide or
/// combining ones.
int64_t display_width(const std::string& text);

/// The first `columns` columns of UTF-8 text.
std::string cut_to_width(const std::string& text, int64_t columns);

}  // namespace cdsp
