#include "report/page/template.h"

#include <set>
#include <sstream>
#include <stdexcept>

#include "report/figures/svg_canvas.h"

namespace cdsp::page {
namespace {

constexpr const char* kPieceMark = "<!-- piece: ";

std::map<std::string, std::string> read_pieces() {
  std::map<std::string, std::string> pieces;
  for (const auto& [file, content] : template_files()) {
    if (file.size() < 5 || file.compare(file.size() - 5, 5, ".html") != 0) continue;
    std::istringstream lines(content);
    std::string line, name;
    while (std::getline(lines, line)) {
      if (line.rfind(kPieceMark, 0) == 0) {
        const size_t start = std::string(kPieceMark).size();
        name = line.substr(start, line.find(" -->") - start);
        pieces[name] = "";
      } else if (!name.empty()) {
        pieces[name] += line + '\n';
      }
    }
  }
  return pieces;
}

[[noreturn]] void fail(const std::string& piece, const char* what, const std::string& name) {
  throw std::logic_error("template '" + piece + "': " + what + " {{" + name + "}}");
}

}  // namespace

Insertion::Insertion(const std::string& text) : markup_(markup_escaped(text)) {}

Html fill(const std::string& piece,
          std::initializer_list<std::pair<const char*, Insertion>> insertions) {
  static const std::map<std::string, std::string> pieces = read_pieces();
  const auto found = pieces.find(piece);
  if (found == pieces.end()) throw std::logic_error("there is no template '" + piece + "'");
  const std::string& text = found->second;
  std::set<std::string> used;
  Html html;
  size_t start = 0;
  for (size_t open = text.find("{{"); open != std::string::npos; open = text.find("{{", start)) {
    const size_t close = text.find("}}", open);
    const std::string name = text.substr(open + 2, close - open - 2);
    html.markup += text.substr(start, open - start);
    bool known = false;
    for (const auto& [place, insertion] : insertions) {
      if (name != place) continue;
      html.markup += insertion.markup();
      known = true;
    }
    if (!known) fail(piece, "nothing fills", name);
    used.insert(name);
    start = close + 2;
  }
  html.markup += text.substr(start);
  for (const auto& [place, insertion] : insertions) {
    if (used.count(place) == 0) {
      fail(piece, "there is no place", place);
    }
  }
  return html;
}

std::string template_text(const std::string& file) {
  const auto files = template_files();
  const auto found = files.find(file);
  if (found == files.end()) throw std::logic_error("there is no template file '" + file + "'");
  return found->second;
}

}  // namespace cdsp::page
