// Pages from templates: the markup lives in core/report/templates, which the build puts into the
// program; code fills named places in it.
//
// An .html file there is a row of pieces, each after a line "<!-- piece: NAME -->". In a piece
// {{name}} is the place of an insertion. The other files are taken whole.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <utility>

namespace cdsp::page {

/// Markup that may stand in a page as it is.
struct Html {
  std::string markup;

  Html& operator+=(const Html& more) {
    markup += more.markup;
    return *this;
  }
  bool empty() const { return markup.empty(); }
};

/// What fills a place: text, which is escaped, or markup, which is not.
class Insertion {
 public:
  Insertion(const std::string& text);
  Insertion(const char* text) : Insertion(std::string(text)) {}
  Insertion(Html html) : markup_(std::move(html.markup)) {}
  const std::string& markup() const { return markup_; }

 private:
  std::string markup_;
};

/// The piece with every place filled. Throws std::logic_error if there is no such piece, if a place
/// has no insertion or an insertion no place.
Html fill(const std::string& piece,
          std::initializer_list<std::pair<const char*, Insertion>> insertions = {});

/// The text of a template file that holds no pieces.
std::string template_text(const std::string& file);

/// Every template file by name; the build writes this function.
std::map<std::string, std::string> template_files();

}  // namespace cdsp::page
