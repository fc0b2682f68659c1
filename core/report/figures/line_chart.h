// Curves with bands, and points with bars, as an SVG.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cdsp {

struct ChartAxis {
  std::string label;  // with its unit
  bool logarithmic = false;
};

struct ChartSeries {
  enum class Style { kLine, kDashed, kPoints };
  std::string label;
  std::vector<double> x, y;       // of one length; a y that is not finite leaves a gap
  std::vector<double> low, high;  // empty, or as many: a band around a line, bars on points
  Style style = Style::kLine;
  size_t colour = 0;  // number of the colour; of one number where series belong together
};

struct LineChart {
  std::string title, subtitle;
  ChartAxis x, y;
  std::vector<ChartSeries> series;
  std::vector<std::string> categories;  // where given, x is the index of one of them
  std::vector<double> thresholds;       // horizontal dashed lines
};

/// 420 pixels wide, so that it stays readable on a phone.
std::string line_chart_svg(const LineChart& chart);

}  // namespace cdsp
