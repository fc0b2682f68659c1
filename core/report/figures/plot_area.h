// Where the series of a line chart are drawn: an area with two axes.
#pragma once

#include <string>

#include "report/figures/axis.h"
#include "report/figures/heading.h"
#include "report/figures/line_chart.h"
#include "report/figures/svg_canvas.h"

namespace cdsp {

/// In pixels: a chart's width, its text and from line to line of that.
inline constexpr double kChartWidth = 420, kChartText = 12, kChartLine = 17;

/// The axes that all of a chart's series fit on.
Axis horizontal_axis(const LineChart& chart, size_t wanted_ticks);
Axis vertical_axis(const LineChart& chart, size_t wanted_ticks);
/// Where plots begin that have the numbers of this vertical axis to their left.
double left_of_plots(const Axis& y);
/// What the chart shows, in words: where every series starts and ends.
std::string chart_in_words(const LineChart& chart);

struct PlotArea {
  const LineChart& chart;
  const Axis &x, &y;
  double left = 0, right = 0, top = 0, height = 0;

  double place_x(double value) const { return left + x.position(value) * (right - left); }
  double place_y(double value) const;
  bool can_show(const ChartSeries& series, size_t i) const;

  /// Grid, axis and thresholds; numbers at the ticks where asked for.
  void furniture(SvgCanvas& canvas, bool with_x_numbers, bool with_y_numbers) const;
  void band(SvgCanvas& canvas, const ChartSeries& series) const;
  void curve(SvgCanvas& canvas, const ChartSeries& series) const;
  /// The line alone, for the background.
  void faint_curve(SvgCanvas& canvas, const ChartSeries& series) const;

 private:
  void pieces_of_line(SvgCanvas& canvas, const ChartSeries& series,
                      const std::string& attributes) const;
  void bar(SvgCanvas& canvas, double at, double low, double high, size_t colour) const;
};

}  // namespace cdsp
