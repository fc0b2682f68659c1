#include "report/figures/svg_canvas.h"

#include <array>

#include "report/terminal.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

constexpr const char* kInk = "#1f2328";
constexpr const char* kSoftInk = "#57606a";
constexpr const char* kPaper = "#ffffff";
constexpr const char* kBorder = "#d0d7de";

/// Okabe and Ito's hues, darkened until a thin line stands out from white paper (3:1 and more),
/// grey and black: no two alike, whatever the colour vision.
constexpr std::array<const char*, 6> kSeries = {"#0072b2", "#b34700", "#00795a",
                                                "#8f3f97", "#787878", "#101418"};
constexpr std::array<const char*, 6> kDashes = {"", "7 3", "2 3", "9 3 2 3", "4 2", "12 4"};

std::string number(double value) {
  std::string text = fixed_number(value, 1);
  if (text.size() > 2 && text.compare(text.size() - 2, 2, ".0") == 0) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + value + "\"";
}

std::string path_of(const Points& points) {
  std::string path;
  for (const auto& [x, y] : points) {
    path += (path.empty() ? "M" : "L") + number(x) + " " + number(y);
  }
  return path;
}

std::string numbered_class(const char* name, size_t series) {
  return std::string(name) + "-" + std::to_string(series % kSeries.size());
}

}  // namespace

std::string markup_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

double drawn_width(const std::string& text, double font_size) {
  return 0.56 * font_size * static_cast<double>(display_width(text));
}

std::vector<std::string> wrapped(const std::string& text, double width, double font_size) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    if (!lines.empty() && drawn_width(lines.back() + " " + word, font_size) <= width) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

SvgCanvas::SvgCanvas(double width, double height, const std::string& title,
                     const std::string& description) {
  const std::string size = attribute("width", number(width)) + attribute("height", number(height));
  out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\"" << size
       << attribute("viewBox", "0 0 " + number(width) + " " + number(height))
       << attribute("role", "img") << attribute("aria-label", markup_escaped(title))
       << "\n     font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""
       << attribute("font-size", "13") << ">\n<title>" << markup_escaped(title)
       << "</title>\n<desc>" << markup_escaped(description) << "</desc>\n<rect"
       << attribute("x", "0.5") << attribute("y", "0.5") << attribute("width", number(width - 1))
       << attribute("height", number(height - 1)) << attribute("rx", "8")
       << attribute("class", "paper") << attribute("fill", kPaper) << attribute("stroke", kBorder)
       << "/>\n";
}

void SvgCanvas::text(double x, double y, const std::string& content, const TextStyle& style) {
  out_ << "<text" << attribute("x", number(x)) << attribute("y", number(y));
  if (style.fill == nullptr) {
    out_ << attribute("class", style.soft ? "soft" : "ink")
         << attribute("fill", style.soft ? kSoftInk : kInk);
  } else {
    out_ << attribute("fill", style.fill);
  }
  if (std::string(style.anchor) != "start") out_ << attribute("text-anchor", style.anchor);
  if (style.size != 13) out_ << attribute("font-size", number(style.size));
  if (style.bold) out_ << attribute("font-weight", "600");
  out_ << style.extra << '>' << markup_escaped(content) << "</text>\n";
}

void SvgCanvas::cell(double x, double y, double width, double height, Colour colour,
                     const char* extra) {
  out_ << "<rect" << attribute("x", number(x)) << attribute("y", number(y))
       << attribute("width", number(width)) << attribute("height", number(height))
       << attribute("fill", hex_code(colour)) << extra << "/>\n";
}

void SvgCanvas::area(double x, double y, double width, double height, const char* css_class,
                     const char* colour, double opacity) {
  out_ << "<rect" << attribute("x", number(x)) << attribute("y", number(y))
       << attribute("width", number(width)) << attribute("height", number(height))
       << attribute("class", css_class) << attribute("fill", colour);
  if (opacity < 1) out_ << attribute("fill-opacity", fixed_number(opacity, 2));
  out_ << "/>\n";
}

void SvgCanvas::lines(const Points& points, const std::string& attributes) {
  out_ << "<path" << attribute("d", path_of(points)) << attribute("fill", "none") << attributes
       << "/>\n";
}

void SvgCanvas::outline(const Points& points, const std::string& attributes) {
  out_ << "<path" << attribute("d", path_of(points) + "Z") << attributes << "/>\n";
}

void SvgCanvas::marker(double x, double y, size_t series, double radius) {
  const std::string look = attribute("class", numbered_class("mark", series)) +
                           attribute("fill", kSeries[series % kSeries.size()]);
  const double r = radius;
  switch (series % kSeries.size()) {
    case 0:
      out_ << "<circle" << attribute("cx", number(x)) << attribute("cy", number(y))
           << attribute("r", number(r)) << look << "/>\n";
      break;
    case 1:
      outline({{x - r, y - r}, {x + r, y - r}, {x + r, y + r}, {x - r, y + r}}, look);
      break;
    case 2:
      outline({{x, y - 1.3 * r}, {x + 1.2 * r, y + r}, {x - 1.2 * r, y + r}}, look);
      break;
    case 3:
      outline({{x, y - 1.4 * r}, {x + 1.4 * r, y}, {x, y + 1.4 * r}, {x - 1.4 * r, y}}, look);
      break;
    case 4:
      outline({{x, y + 1.3 * r}, {x + 1.2 * r, y - r}, {x - 1.2 * r, y - r}}, look);
      break;
    default: {
      const double thin = 0.45 * r, far = 1.3 * r;
      outline({{x - thin, y - far},
               {x + thin, y - far},
               {x + thin, y - thin},
               {x + far, y - thin},
               {x + far, y + thin},
               {x + thin, y + thin},
               {x + thin, y + far},
               {x - thin, y + far},
               {x - thin, y + thin},
               {x - far, y + thin},
               {x - far, y - thin},
               {x - thin, y - thin}},
              look);
    }
  }
}

void SvgCanvas::begin_group(const std::string& attributes) { out_ << "<g" << attributes << ">\n"; }
void SvgCanvas::end_group() { out_ << "</g>\n"; }

std::string SvgCanvas::finish() {
  out_ << "</svg>\n";
  return out_.str();
}

std::string grid_line() {
  return attribute("class", "grid") + attribute("stroke", "#d8dee4") +
         attribute("stroke-width", "1");
}

std::string axis_line() {
  return attribute("class", "axis") + attribute("stroke", "#57606a") +
         attribute("stroke-width", "1");
}

std::string threshold_line() {
  return attribute("class", "threshold") + attribute("stroke", "#1f2328") +
         attribute("stroke-width", "1.5") + attribute("stroke-dasharray", "4 3");
}

std::string series_line(size_t series, bool dashed) {
  const char* dash = dashed ? "6 4" : kDashes[(series / kSeries.size()) % kDashes.size()];
  std::string text = attribute("class", numbered_class("series", series)) +
                     attribute("stroke", kSeries[series % kSeries.size()]) +
                     attribute("stroke-width", "2") + attribute("stroke-linejoin", "round");
  if (*dash != '\0') text += attribute("stroke-dasharray", dash);
  return text;
}

std::string faint_line() {
  return attribute("class", "faint") + attribute("stroke", "#b4bac1") +
         attribute("stroke-width", "1.2") + attribute("stroke-linejoin", "round");
}

std::string series_colour(size_t series) { return kSeries[series % kSeries.size()]; }

std::string series_band(size_t series) {
  return attribute("class", numbered_class("band", series)) +
         attribute("fill", kSeries[series % kSeries.size()]) + attribute("fill-opacity", "0.18");
}

}  // namespace cdsp
