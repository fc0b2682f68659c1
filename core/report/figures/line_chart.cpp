#include "report/figures/line_chart.h"

#include <algorithm>
#include <cmath>

#include "report/figures/axis.h"
#include "report/figures/svg_canvas.h"

namespace cdsp {
namespace {

constexpr double kWidth = 420, kMargin = 14, kPlotHeight = 200;
constexpr double kTitleSize = 14, kTextSize = 12, kLine = 17;

std::vector<double> all_values(const LineChart& chart, bool of_x) {
  std::vector<double> values;
  for (const ChartSeries& series : chart.series) {
    const auto add = [&](const std::vector<double>& more) {
      values.insert(values.end(), more.begin(), more.end());
    };
    add(of_x ? series.x : series.y);
    if (of_x) continue;
    add(series.low);
    add(series.high);
  }
  if (!of_x) values.insert(values.end(), chart.thresholds.begin(), chart.thresholds.end());
  // Half a step of room to either side of the first and last category.
  if (of_x && !chart.categories.empty()) {
    values = {-0.5, static_cast<double>(chart.categories.size()) - 0.5};
  }
  return values;
}

class ChartDrawing {
 public:
  explicit ChartDrawing(const LineChart& chart)
      : chart_(chart),
        x_(all_values(chart, true), chart.x.logarithmic, false, 6),
        y_(all_values(chart, false), chart.y.logarithmic, true, 5),
        title_(wrapped(chart.title, kWidth - 2 * kMargin, kTitleSize * 1.05)),
        subtitle_(wrapped(chart.subtitle, kWidth - 2 * kMargin, kTextSize)) {
    double labels = 0;
    for (const Tick& tick : y_.ticks()) labels = std::max(labels, drawn_width(tick.text, 12));
    left_ = kMargin + labels + 8;
    right_ = kWidth - kMargin - 6;
    top_ = kMargin + kLine * static_cast<double>(title_.size() + subtitle_.size()) + 6 + kLine + 10;
    lay_out_legend();
  }

  std::string svg() {
    const double legend_top = top_ + kPlotHeight + 2 * kLine + 8;
    const double height = legend_top + kLine * static_cast<double>(legend_rows_) + kMargin - 4;
    SvgCanvas canvas(kWidth, height, chart_.title, description());
    heading(canvas);
    furniture(canvas);
    for (const ChartSeries& series : chart_.series) band(canvas, series);
    for (const ChartSeries& series : chart_.series) curve(canvas, series);
    legend(canvas, legend_top);
    return canvas.finish();
  }

 private:
  double place_x(double value) const { return left_ + x_.position(value) * (right_ - left_); }
  double place_y(double value) const {
    return top_ + kPlotHeight - std::clamp(y_.position(value), -0.02, 1.02) * kPlotHeight;
  }

  /// Where every series starts, ends, and lies furthest apart.
  std::string description() const {
    std::string text = chart_.subtitle.empty() ? "" : chart_.subtitle + ". ";
    text += "Horizontal: " + chart_.x.label + ". Vertical: " + chart_.y.label + ".";
    for (const ChartSeries& series : chart_.series) {
      std::vector<size_t> known;
      for (size_t i = 0; i < series.y.size(); ++i) {
        if (std::isfinite(series.y[i])) known.push_back(i);
      }
      if (known.empty()) continue;
      const auto point = [&](size_t i) {
        const std::string x = chart_.categories.empty()
                                  ? short_number(series.x[i], 4)
                                  : chart_.categories[static_cast<size_t>(series.x[i])];
        return short_number(series.y[i], 4) + " at " + x;
      };
      text += " " + series.label + ": " + point(known.front());
      if (known.size() > 1) text += " to " + point(known.back());
      text += ".";
    }
    return text;
  }

  void heading(SvgCanvas& canvas) const {
    double y = kMargin + kLine - 4;
    for (const std::string& line : title_) {
      canvas.text(kMargin, y, line, {"start", kTitleSize, true});
      y += kLine;
    }
    for (const std::string& line : subtitle_) {
      canvas.text(kMargin, y, line, {"start", kTextSize, false, true});
      y += kLine;
    }
    canvas.text(kMargin, top_ - 13, chart_.y.label, {"start", kTextSize, false, true});
  }

  void furniture(SvgCanvas& canvas) const {
    const double bottom = top_ + kPlotHeight;
    for (const Tick& tick : y_.ticks()) {
      const double y = place_y(tick.value);
      canvas.lines({{left_, y}, {right_, y}}, grid_line());
      canvas.text(left_ - 6, y + 4, tick.text, {"end", kTextSize, false, true});
    }
    canvas.lines({{left_, bottom}, {right_, bottom}}, axis_line());
    std::vector<Tick> ticks;
    if (chart_.categories.empty()) ticks = x_.ticks();
    for (size_t i = 0; i < chart_.categories.size(); ++i) {
      ticks.push_back({static_cast<double>(i), chart_.categories[i]});
    }
    double last_end = 0;
    for (const Tick& tick : ticks) {
      const double x = place_x(tick.value);
      canvas.lines({{x, bottom}, {x, bottom + 4}}, axis_line());
      const double half = drawn_width(tick.text, kTextSize) / 2;
      if (x - half < last_end + 4) continue;  // no room beside the one before
      last_end = x + half;
      canvas.text(x, bottom + kLine, tick.text, {"middle", kTextSize, false, true});
    }
    canvas.text((left_ + right_) / 2, bottom + 2 * kLine, chart_.x.label,
                {"middle", kTextSize, false, true});
    for (const double threshold : chart_.thresholds) {
      canvas.lines({{left_, place_y(threshold)}, {right_, place_y(threshold)}}, threshold_line());
    }
  }

  bool can_show(const ChartSeries& series, size_t i) const {
    return std::isfinite(x_.position(series.x[i])) && std::isfinite(y_.position(series.y[i]));
  }

  void band(SvgCanvas& canvas, const ChartSeries& series) const {
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
      const double low = y_.position(series.low[i]), high = y_.position(series.high[i]);
      if (!can_show(series, i) || !std::isfinite(low) || !std::isfinite(high)) {
        flush();
        continue;
      }
      upper.emplace_back(place_x(series.x[i]), place_y(series.high[i]));
      lower.emplace_back(place_x(series.x[i]), place_y(series.low[i]));
    }
    flush();
  }

  void curve(SvgCanvas& canvas, const ChartSeries& series) const {
    const bool points = series.style == ChartSeries::Style::kPoints;
    Points line;
    const auto flush = [&] {
      if (line.size() > 1) {
        canvas.lines(line, series_line(series.colour, series.style == ChartSeries::Style::kDashed));
      }
      line.clear();
    };
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!can_show(series, i)) {
        flush();
        continue;
      }
      const double x = place_x(series.x[i]), y = place_y(series.y[i]);
      if (!points) line.emplace_back(x, y);
      if (points && !series.low.empty() && std::isfinite(series.low[i])) {
        bar(canvas, x, series.low[i], series.high[i], series.colour);
      }
      // Markers tell the curves apart where there is room for them.
      if (points || series.x.size() <= 24) canvas.marker(x, y, series.colour, points ? 3.4 : 2.6);
    }
    flush();
  }

  void bar(SvgCanvas& canvas, double x, double low, double high, size_t colour) const {
    const double bottom = place_y(low), top = place_y(high);
    canvas.lines({{x, bottom}, {x, top}}, series_line(colour));
    canvas.lines({{x - 5, bottom}, {x + 5, bottom}}, series_line(colour));
    canvas.lines({{x - 5, top}, {x + 5, top}}, series_line(colour));
  }

  void lay_out_legend() {
    double x = kMargin;
    for (const ChartSeries& series : chart_.series) {
      const double width = 34 + drawn_width(series.label, kTextSize) + 14;
      if (legend_.empty() || x + width > kWidth - kMargin + 14) {
        x = kMargin;
        ++legend_rows_;
      }
      legend_.push_back({x, static_cast<double>(legend_rows_ - 1)});
      x += width;
    }
  }

  void legend(SvgCanvas& canvas, double top) const {
    for (size_t i = 0; i < legend_.size(); ++i) {
      const ChartSeries& series = chart_.series[i];
      const double x = legend_[i].first, y = top + kLine * legend_[i].second + 8;
      if (series.style != ChartSeries::Style::kPoints) {
        canvas.lines({{x, y}, {x + 28, y}},
                     series_line(series.colour, series.style == ChartSeries::Style::kDashed));
      }
      if (series.x.size() <= 24 || series.style == ChartSeries::Style::kPoints) {
        canvas.marker(x + 14, y, series.colour, 3);
      }
      canvas.text(x + 34, y + 4, series.label, {"start", kTextSize});
    }
  }

  const LineChart& chart_;
  Axis x_, y_;
  std::vector<std::string> title_, subtitle_;
  double left_ = 0, right_ = 0, top_ = 0;
  Points legend_;  // x and row of each series
  int legend_rows_ = 0;
};

}  // namespace

std::string line_chart_svg(const LineChart& chart) { return ChartDrawing(chart).svg(); }

}  // namespace cdsp
