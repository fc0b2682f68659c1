#include "report/figures/line_chart.h"

#include "report/figures/plot_area.h"

namespace cdsp {
namespace {

constexpr double kPlotHeight = 200;

class ChartDrawing {
 public:
  explicit ChartDrawing(const LineChart& chart)
      : chart_(chart),
        x_(horizontal_axis(chart, 6)),
        y_(vertical_axis(chart, 5)),
        heading_(chart.title, chart.subtitle, kChartWidth),
        plot_{chart, x_, y_} {
    plot_.left = left_of_plots(y_);
    plot_.right = kChartWidth - kFigureMargin - 6;
    plot_.top = heading_.bottom() + 6 + kChartLine + 10;
    plot_.height = kPlotHeight;
    lay_out_legend();
  }

  std::string svg() {
    const double legend_top = plot_.top + kPlotHeight + 2 * kChartLine + 8;
    const double height =
        legend_top + kChartLine * static_cast<double>(legend_rows_) + kFigureMargin - 4;
    SvgCanvas canvas(kChartWidth, height, chart_.title, chart_in_words(chart_));
    heading_.draw(canvas);
    canvas.text(kFigureMargin, plot_.top - 13, chart_.y.label, {"start", kChartText, false, true});
    plot_.furniture(canvas, true, true);
    canvas.text((plot_.left + plot_.right) / 2, plot_.top + kPlotHeight + 2 * kChartLine,
                chart_.x.label, {"middle", kChartText, false, true});
    for (const ChartSeries& series : chart_.series) plot_.band(canvas, series);
    for (const ChartSeries& series : chart_.series) plot_.curve(canvas, series);
    legend(canvas, legend_top);
    return canvas.finish();
  }

 private:
  void lay_out_legend() {
    double x = kFigureMargin;
    for (const ChartSeries& series : chart_.series) {
      const double width = 34 + drawn_width(series.label, kChartText) + 14;
      if (legend_.empty() || x + width > kChartWidth - kFigureMargin + 14) {
        x = kFigureMargin;
        ++legend_rows_;
      }
      legend_.push_back({x, static_cast<double>(legend_rows_ - 1)});
      x += width;
    }
  }

  void legend(SvgCanvas& canvas, double top) const {
    for (size_t i = 0; i < legend_.size(); ++i) {
      const ChartSeries& series = chart_.series[i];
      const double x = legend_[i].first, y = top + kChartLine * legend_[i].second + 8;
      if (series.style != ChartSeries::Style::kPoints) {
        canvas.lines({{x, y}, {x + 28, y}},
                     series_line(series.colour, series.style == ChartSeries::Style::kDashed));
      }
      canvas.marker(x + 14, y, series.colour, 3);
      canvas.text(x + 34, y + 4, series.label, {"start", kChartText});
    }
  }

  const LineChart& chart_;
  Axis x_, y_;
  Heading heading_;
  PlotArea plot_;
  Points legend_;  // x and row of each series
  int legend_rows_ = 0;
};

}  // namespace

std::string line_chart_svg(const LineChart& chart) { return ChartDrawing(chart).svg(); }

}  // namespace cdsp
