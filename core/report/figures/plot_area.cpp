#include "report/figures/plot_area.h"

#include <algorithm>
#include <cmath>

namespace cdsp {
namespace {

/// A line of more points has no room for a marker on each.
constexpr size_t kMostMarkers = 24;

AxisRules rules_of(const ChartAxis& axis, bool round_ends, size_t wanted_ticks) {
  return {axis.logarithmic, round_ends, wanted_ticks, axis.whole, axis.least, axis.most};
}

}  // namespace

Axis horizontal_axis(const LineChart& chart, size_t wanted_ticks) {
  std::vector<double> values;
  for (const ChartSeries& series : chart.series) {
    values.insert(values.end(), series.x.begin(), series.x.end());
  }
  return {values, rules_of(chart.x, false, wanted_ticks)};
}

Axis vertical_axis(const LineChart& chart, size_t wanted_ticks) {
  std::vector<double> values = chart.thresholds;
  for (const ChartSeries& series : chart.series) {
    for (const auto* more : {&series.y, &series.low, &series.high}) {
      values.insert(values.end(), more->begin(), more->end());
    }
  }
  return {values, rules_of(chart.y, true, wanted_ticks)};
}

double left_of_plots(const Axis& y) {
  double numbers = 0;
  for (const Tick& tick : y.ticks()) {
    numbers = std::max(numbers, drawn_width(tick.text, kChartText));
  }
  return kFigureMargin + numbers + 8;
}

std::string chart_in_words(const LineChart& chart) {
  std::string text = chart.subtitle.empty() ? "" : chart.subtitle + ". ";
  text += "Horizontal: " + chart.x.label + ". Vertical: " + chart.y.label + ".";
  for (const ChartSeries& series : chart.series) {
    std::vector<size_t> known;
    for (size_t i = 0; i < series.y.size(); ++i) {
      if (std::isfinite(series.y[i])) known.push_back(i);
    }
    if (known.empty()) continue;
    const auto point = [&](size_t i) {
      return short_number(series.y[i], 4) + " at " + short_number(series.x[i], 4);
    };
    text += " " + series.label + ": " + point(known.front());
    if (known.size() > 1) text += " to " + point(known.back());
    text += ".";
  }
  return text;
}

double PlotArea::place_y(double value) const {
  return top + height - std::clamp(y.position(value), 0.0, 1.0) * height;
}

bool PlotArea::can_show(const ChartSeries& series, size_t i) const {
  return std::isfinite(x.position(series.x[i])) && std::isfinite(y.position(series.y[i]));
}

void PlotArea::furniture(SvgCanvas& canvas, bool with_x_numbers, bool with_y_numbers) const {
  const double bottom = top + height;
  for (const Tick& tick : y.ticks()) {
    const double at = place_y(tick.value);
    canvas.lines({{left, at}, {right, at}}, grid_line());
    if (with_y_numbers) {
      canvas.text(left - 6, at + 4, tick.text, {"end", kChartText, false, true});
    }
  }
  canvas.lines({{left, bottom}, {right, bottom}}, axis_line());
  double last_end = 0;
  for (const Tick& tick : x.ticks()) {
    const double at = place_x(tick.value);
    canvas.lines({{at, bottom}, {at, bottom + 4}}, axis_line());
    const double half = drawn_width(tick.text, kChartText) / 2;
    if (!with_x_numbers || at - half < last_end + 4) continue;  // no room beside the one before
    last_end = at + half;
    canvas.text(at, bottom + kChartLine, tick.text, {"middle", kChartText, false, true});
  }
  for (const double threshold : chart.thresholds) {
    canvas.lines({{left, place_y(threshold)}, {right, place_y(threshold)}}, threshold_line());
  }
}

void PlotArea::band(SvgCanvas& canvas, const ChartSeries& series) const {
  if (series.low.empty() || series.style == ChartSeries::Style::kPoints) return;
  Points upper, lower;
  const auto flush = [&] {
    if (upper.size() > 1) {
      upper.insert(upper.end(), lower.rbegin(), lower.rend());
      canvas.outline(upper, series_band(series.colour));
    }
    upper.clear();
    lower.clear();
  };
  for (size_t i = 0; i < series.x.size(); ++i) {
    const double low = y.position(series.low[i]), high = y.position(series.high[i]);
    if (!can_show(series, i) || !std::isfinite(low) || !std::isfinite(high)) {
      flush();
      continue;
    }
    upper.emplace_back(place_x(series.x[i]), place_y(series.high[i]));
    lower.emplace_back(place_x(series.x[i]), place_y(series.low[i]));
  }
  flush();
}

void PlotArea::pieces_of_line(SvgCanvas& canvas, const ChartSeries& series,
                              const std::string& attributes) const {
  Points line;
  for (size_t i = 0; i <= series.x.size(); ++i) {
    if (i < series.x.size() && can_show(series, i)) {
      line.emplace_back(place_x(series.x[i]), place_y(series.y[i]));
      continue;
    }
    if (line.size() > 1) canvas.lines(line, attributes);
    line.clear();
  }
}

void PlotArea::curve(SvgCanvas& canvas, const ChartSeries& series) const {
  const bool points = series.style == ChartSeries::Style::kPoints;
  const size_t stride = series.x.size() <= kMostMarkers ? 1 : series.x.size() / 6;
  if (!points) {
    const bool dashed = series.style == ChartSeries::Style::kDashed;
    pieces_of_line(canvas, series, series_line(series.colour, dashed));
  }
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!can_show(series, i)) continue;
    const double at = place_x(series.x[i]);
    if (points && !series.low.empty() && std::isfinite(series.low[i])) {
      bar(canvas, at, series.low[i], series.high[i], series.colour);
    }
    // A long line bears a marker now and then, each line at other places.
    if (points || (i + 3 * series.colour) % stride == 0) {
      canvas.marker(at, place_y(series.y[i]), series.colour, points ? 3.4 : 2.6);
    }
  }
}

void PlotArea::faint_curve(SvgCanvas& canvas, const ChartSeries& series) const {
  pieces_of_line(canvas, series, faint_line());
}

void PlotArea::bar(SvgCanvas& canvas, double at, double low, double high, size_t colour) const {
  const double bottom = place_y(low), upper = place_y(high);
  canvas.lines({{at, bottom}, {at, upper}}, series_line(colour));
  canvas.lines({{at - 5, bottom}, {at + 5, bottom}}, series_line(colour));
  canvas.lines({{at - 5, upper}, {at + 5, upper}}, series_line(colour));
}

}  // namespace cdsp
