#include "report/figures/line_chart.h"

#include <algorithm>

#include "report/figures/plot_area.h"

namespace cdsp {
namespace {

constexpr double kWidth = 420, kMargin = 14, kPlotHeight = 200;
constexpr double kTitleSize = 14, kTextSize = 12, kLine = 17;

class ChartDrawing {
 public:
  explicit ChartDrawing(const LineChart& chart)
      : chart_(chart),
        x_(horizontal_axis(chart, 6)),
        y_(vertical_axis(chart, 5)),
        title_(wrapped(chart.title, kWidth - 2 * kMargin, kTitleSize * 1.05)),
        subtitle_(wrapped(chart.subtitle, kWidth - 2 * kMargin, kTextSize)),
        plot_{chart, x_, y_} {
    double labels = 0;
    for (const Tick& tick : y_.ticks()) labels = std::max(labels, drawn_width(tick.text, 12));
    plot_.left = kMargin + labels + 8;
    plot_.right = kWidth - kMargin - 6;
    plot_.top =
        kMargin + kLine * static_cast<double>(title_.size() + subtitle_.size()) + 6 + kLine + 10;
    plot_.height = kPlotHeight;
    lay_out_legend();
  }

  std::string svg() {
    const double legend_top = plot_.top + kPlotHeight + 2 * kLine + 8;
    const double height = legend_top + kLine * static_cast<double>(legend_rows_) + kMargin - 4;
    SvgCanvas canvas(kWidth, height, chart_.title, chart_in_words(chart_));
    heading(canvas);
    plot_.furniture(canvas, true, true);
    canvas.text((plot_.left + plot_.right) / 2, plot_.top + kPlotHeight + 2 * kLine, chart_.x.label,
                {"middle", kTextSize, false, true});
    for (const ChartSeries& series : chart_.series) plot_.band(canvas, series);
    for (const ChartSeries& series : chart_.series) plot_.curve(canvas, series);
    legend(canvas, legend_top);
    return canvas.finish();
  }

 private:
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
    canvas.text(kMargin, plot_.top - 13, chart_.y.label, {"start", kTextSize, false, true});
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
      canvas.marker(x + 14, y, series.colour, 3);
      canvas.text(x + 34, y + 4, series.label, {"start", kTextSize});
    }
  }

  const LineChart& chart_;
  Axis x_, y_;
  std::vector<std::string> title_, subtitle_;
  PlotArea plot_;
  Points legend_;  // x and row of each series
  int legend_rows_ = 0;
};

}  // namespace

std::string line_chart_svg(const LineChart& chart) { return ChartDrawing(chart).svg(); }

}  // namespace cdsp
