// Drawing into an SVG that reads well in both its lives: as a file of its own, with its own paper
// and inks, and inline in a page, whose style sheet takes over every colour through the classes
// (ink, soft, grid, axis, paper, faint, series-N, band-N), for dark pages and for print.
#pragma once

#include <cstddef>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "report/colour_scale.h"

namespace cdsp {

/// Text for element content and attributes of XML and HTML.
std::string markup_escaped(const std::string& text);

/// About how wide a text is drawn, in pixels.
double drawn_width(const std::string& text, double font_size);

/// The words in lines of at most `width` pixels; a longer word has a line of its own.
std::vector<std::string> wrapped(const std::string& text, double width, double font_size);

/// A text's place and look.
struct TextStyle {
  const char* anchor = "start";  // start | middle | end
  double size = 13;
  bool bold = false;
  bool soft = false;           // of less weight than the rest
  const char* extra = "";      // further attributes
  const char* fill = nullptr;  // an ink that no page changes; null: the page's
};

using Points = std::vector<std::pair<double, double>>;

class SvgCanvas {
 public:
  /// Coordinates in pixels, written with at most one decimal. `description` says in words what the
  /// picture shows.
  SvgCanvas(double width, double height, const std::string& title, const std::string& description);

  void text(double x, double y, const std::string& content, const TextStyle& style = {});
  /// A rectangle whose colour carries a value, the same on every page.
  void cell(double x, double y, double width, double height, Colour colour, const char* extra = "");
  /// A rectangle of the picture's own furniture, with its class and its colour as a file.
  void area(double x, double y, double width, double height, const char* css_class,
            const char* colour, double opacity = 1);
  /// Straight lines, `attributes` saying how.
  void lines(const Points& points, const std::string& attributes);
  /// A filled outline.
  void outline(const Points& points, const std::string& attributes);
  /// The marker of a series, around a point.
  void marker(double x, double y, size_t series, double radius = 3);
  void begin_group(const std::string& attributes = "");
  void end_group();
  std::string finish();

 private:
  std::ostringstream out_;
};

/// Attributes of the lines of a chart's furniture.
std::string grid_line();
std::string axis_line();
std::string threshold_line();
/// Attributes of the line of series number `series`: colours that all kinds of colour vision tell
/// apart, and a dash pattern of its own.
std::string series_line(size_t series, bool dashed = false);
/// Attributes of a line that only stands behind others.
std::string faint_line();
/// "#0072b2": the colour of a series in a file of its own.
std::string series_colour(size_t series);
/// Attributes of the band around a series.
std::string series_band(size_t series);

}  // namespace cdsp
