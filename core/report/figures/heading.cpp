#include "report/figures/heading.h"

namespace cdsp {
namespace {

constexpr double kTitleSize = 14, kSubtitleSize = 12;
constexpr double kBoldWidth = 1.05;  // of a bold text, in widths of a plain one

}  // namespace

Heading::Heading(const std::string& title, const std::string& subtitle, double figure_width,
                 double line)
    : title_(wrapped(title, figure_width - 2 * kFigureMargin, kTitleSize * kBoldWidth)),
      subtitle_(wrapped(subtitle, figure_width - 2 * kFigureMargin, kSubtitleSize)),
      line_(line) {}

double Heading::bottom() const {
  return kFigureMargin + line_ * static_cast<double>(title_.size() + subtitle_.size());
}

void Heading::draw(SvgCanvas& canvas, const char* subtitle_attributes) const {
  double y = kFigureMargin + line_ - 4;
  for (const std::string& text : title_) {
    canvas.text(kFigureMargin, y, text, {"start", kTitleSize, true});
    y += line_;
  }
  for (const std::string& text : subtitle_) {
    canvas.text(kFigureMargin, y, text, {"start", kSubtitleSize, false, true, subtitle_attributes});
    y += line_;
  }
}

}  // namespace cdsp
