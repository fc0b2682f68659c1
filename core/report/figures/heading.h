// Title and subtitle at the top of a figure.
#pragma once

#include <string>
#include <vector>

#include "report/figures/svg_canvas.h"

namespace cdsp {

/// Pixels that stay empty around a figure.
inline constexpr double kFigureMargin = 14;

class Heading {
 public:
  Heading() = default;
  /// Wrapped to a figure of that width; `line`: pixels from line to line.
  Heading(const std::string& title, const std::string& subtitle, double figure_width,
          double line = 17);

  /// Where it ends, from the figure's top.
  double bottom() const;
  /// `subtitle_attributes` go to every line of the subtitle.
  void draw(SvgCanvas& canvas, const char* subtitle_attributes = "") const;

 private:
  std::vector<std::string> title_, subtitle_;
  double line_ = 17;
};

}  // namespace cdsp
