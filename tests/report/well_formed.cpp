#include "report/well_formed.h"

#include <regex>
#include <vector>

namespace cdsp::test {

bool is_well_formed(const std::string& xml) {
  static const std::regex bare_ampersand("&(?!amp;|lt;|gt;|quot;)");
  static const std::regex tag(R"((/?)([A-Za-z]+)((?:\s+[A-Za-z:-]+="[^"<]*")*)\s*(/?))");
  if (std::regex_search(xml, bare_ampersand)) return false;
  std::vector<std::string> open;
  size_t at = 0;
  while (at < xml.size()) {
    if (xml[at] != '<') {
      const size_t next = std::min(xml.find('<', at), xml.size());
      // Outside of all elements there is nothing but blanks.
      if (open.empty() && xml.substr(at, next - at).find_first_not_of(" \n") != std::string::npos) {
        return false;
      }
      at = next;
      continue;
    }
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    std::smatch match;
    const std::string inside = xml.substr(at + 1, end - at - 1);
    if (!std::regex_match(inside, match, tag)) return false;
    at = end + 1;
    if (match[4] == "/") continue;
    if (match[1] != "/") {
      open.push_back(match[2]);
    } else if (open.empty() || open.back() != match[2]) {
      return false;
    } else {
      open.pop_back();
    }
  }
  return open.empty();
}

}  // namespace cdsp::test
