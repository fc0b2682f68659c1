#include "report/terminal.h"

#include <cstdlib>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

namespace cdsp {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The first of these that is set decides the character set (POSIX).
bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string locale = environment(name);
    if (locale.empty()) continue;
    for (const char* spelling : {"UTF-8", "utf-8", "UTF8", "utf8"}) {
      if (locale.find(spelling) != std::string::npos) return true;
    }
    return false;
  }
  return false;
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

}  // namespace

Terminal describe_terminal(int descriptor) {
  Terminal terminal;
  terminal.unicode = locale_is_utf8();
  if (::isatty(descriptor) == 0) return terminal;
  terminal.columns = terminal_width(descriptor);
  const std::string kind = environment("TERM");
  if (kind.empty() || kind == "dumb") return terminal;
  terminal.can_redraw = true;
  terminal.colours = environment("NO_COLOR").empty();
  return terminal;
}

int64_t terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

int64_t display_width(const std::string& text) {
  int64_t columns = 0;
  for (const char byte : text) columns += continues_character(byte) ? 0 : 1;
  return columns;
}

std::string cut_to_width(const std::string& text, int64_t columns) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    if (!continues_character(text[end]) && columns-- <= 0) break;
  }
  return text.substr(0, end);
}

}  // namespace cdsp
