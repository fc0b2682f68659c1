// A panel for each series, two beside each other.
#include <algorithm>

#include "report/figures/plot_area.h"

namespace cdsp {
namespace {

constexpr double kPlotHeight = 92, kGap = 26;

class PanelDrawing {
 public:
  explicit PanelDrawing(const LineChart& chart)
      : chart_(chart),
        x_(horizontal_axis(chart, 4)),
        y_(vertical_axis(chart, 3)),
        heading_(chart.title,
                 chart.subtitle + (chart.subtitle.empty() ? "" : "; ") + "others in grey",
                 kChartWidth),
        first_left_(left_of_plots(y_)) {
    width_ = (kChartWidth - kFigureMargin - 6 - first_left_ - kGap) / 2;
    for (const ChartSeries& series : chart.series) {
      names_.push_back(wrapped(series.label, width_ - 18, kChartText));
      name_lines_ = std::max(name_lines_, names_.back().size());
    }
    top_ = heading_.bottom() + 6 + kChartLine + 4;
    row_height_ = kChartLine * static_cast<double>(name_lines_) + 4 + kPlotHeight + kChartLine + 9;
  }

  std::string svg() {
    const size_t count = chart_.series.size(), rows = (count + 1) / 2;
    const double end = top_ + row_height_ * static_cast<double>(rows);
    SvgCanvas canvas(kChartWidth, end + kChartLine + 4, chart_.title, chart_in_words(chart_));
    heading_.draw(canvas);
    canvas.text(kFigureMargin, top_ - 9, chart_.y.label, {"start", kChartText, false, true});
    for (size_t i = 0; i < count; ++i) panel(canvas, i);
    canvas.text((first_left_ + kChartWidth - kFigureMargin) / 2, end + 4, chart_.x.label,
                {"middle", kChartText, false, true});
    return canvas.finish();
  }

 private:
  void panel(SvgCanvas& canvas, size_t number) const {
    const bool at_left = number % 2 == 0;
    PlotArea plot{chart_, x_, y_};
    plot.left = at_left ? first_left_ : first_left_ + width_ + kGap;
    plot.right = plot.left + width_;
    const size_t row = number / 2;
    const double names_top = top_ + row_height_ * static_cast<double>(row);
    plot.top = names_top + kChartLine * static_cast<double>(name_lines_) + 4;
    plot.height = kPlotHeight;
    const ChartSeries& own = chart_.series[number];
    canvas.marker(plot.left + 5, names_top + 8, own.colour, 3.4);
    double y = names_top + 12;
    for (const std::string& line : names_[number]) {
      canvas.text(plot.left + 16, y, line, {"start", kChartText, true});
      y += kChartLine;
    }
    plot.furniture(canvas, true, at_left);
    for (const ChartSeries& series : chart_.series) {
      if (&series != &own) plot.faint_curve(canvas, series);
    }
    plot.band(canvas, own);
    plot.curve(canvas, own);
  }

  const LineChart& chart_;
  Axis x_, y_;
  Heading heading_;
  std::vector<std::vector<std::string>> names_;
  size_t name_lines_ = 1;
  double first_left_ = 0, width_ = 0, top_ = 0, row_height_ = 0;
};

}  // namespace

std::string panel_chart_svg(const LineChart& chart) { return PanelDrawing(chart).svg(); }

}  // namespace cdsp
