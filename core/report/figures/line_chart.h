// Curves with bands, and points with bars, as an SVG.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cdsp {

struct ChartAxis {
  std::string label;  // with its unit
  bool logarithmic = false;
  bool whole = false;                           // ticks at whole numbers only
  std::optional<double> least = {}, most = {};  // the quantity cannot lie beyond
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
  std::vector<double> thresholds;  // horizontal dashed lines
};

/// More series than this lie over each other too thickly to be followed.
inline constexpr size_t kMostSeriesTogether = 4;

/// 420 pixels wide, so that it stays readable on a phone.
std::string line_chart_svg(const LineChart& chart);

/// The same chart as a panel for each series on the same axes, the other series faint behind it.
std::string panel_chart_svg(const LineChart& chart);

}  // namespace cdsp
