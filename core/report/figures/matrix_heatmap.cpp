#include "report/figures/matrix_heatmap.h"

#include <algorithm>
#include <cmath>

#include "report/colour_scale.h"
#include "report/figures/heading.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

// Pixels at scale 1: eight experts fit on a phone.
constexpr double kMargin = kFigureMargin, kCellWidth = 36, kCellHeight = 28, kPanelGap = 22,
                 kLine = 17;
constexpr double kColumnNames = 19, kLegend = 58, kLegendWidth = 200, kLeastWidth = 330;

class HeatmapDrawing {
 public:
  explicit HeatmapDrawing(const MatrixHeatmap& heatmap) : heatmap_(heatmap) {
    for (const std::string& name : heatmap.rows) {
      names_ = std::max(names_, drawn_width(name, 13) + 12);
    }
    columns_ = heatmap.panels.front().values.front().size();
    for (const MatrixPanel& panel : heatmap.panels) {
      if (!panel.title.empty()) panel_title_ = 24;
    }
    panel_width_ = names_ + kCellWidth * static_cast<double>(columns_);
    panel_height_ =
        panel_title_ + kColumnNames + kCellHeight * static_cast<double>(heatmap.rows.size());
    const size_t beside = std::min(heatmap.columns, heatmap.panels.size());
    beside_ = std::max<size_t>(1, beside);
    width_ = std::max(
        2 * kMargin + static_cast<double>(beside_) * (panel_width_ + kPanelGap) - kPanelGap,
        kLeastWidth);
    heading_ = Heading(heatmap.title, heatmap.subtitle, width_);
    header_ = heading_.bottom() + 10;
    legend_ = wrapped(heatmap.legend, width_ - 2 * kMargin, 12);
  }

  std::string svg() {
    const size_t rows = (heatmap_.panels.size() + beside_ - 1) / beside_;
    const double legend_top =
        header_ + static_cast<double>(rows) * (panel_height_ + kPanelGap) - kPanelGap + 16;
    const double height =
        legend_top + kLine * static_cast<double>(legend_.size()) + kLegend - kLine;
    SvgCanvas canvas(width_, height, heatmap_.title,
                     heatmap_.subtitle.empty() ? heatmap_.description
                                               : heatmap_.subtitle + ". " + heatmap_.description);
    heading_.draw(canvas, " data-part=\"subtitle\"");
    for (size_t i = 0; i < heatmap_.panels.size(); ++i) {
      const size_t row = i / beside_, column = i % beside_;
      panel(canvas, heatmap_.panels[i],
            kMargin + static_cast<double>(column) * (panel_width_ + kPanelGap),
            header_ + static_cast<double>(row) * (panel_height_ + kPanelGap));
    }
    legend(canvas, legend_top);
    return canvas.finish();
  }

 private:
  void panel(SvgCanvas& canvas, const MatrixPanel& panel, double x, double y) const {
    if (!panel.title.empty()) canvas.text(x, y + 14, panel.title, {"start", 13, true});
    y += panel_title_;
    for (size_t column = 0; column < columns_; ++column) {
      canvas.text(x + names_ + kCellWidth * (static_cast<double>(column) + 0.5), y + 12,
                  "E" + std::to_string(column), {"middle", 12, false, true});
    }
    y += kColumnNames;
    for (size_t row = 0; row < heatmap_.rows.size(); ++row) {
      canvas.text(x + names_ - 7, y + kCellHeight * (static_cast<double>(row) + 0.5) + 4.5,
                  heatmap_.rows[row], {"end"});
    }
    canvas.begin_group(" data-part=\"cells\"");
    for (size_t row = 0; row < panel.values.size(); ++row) {
      for (size_t column = 0; column < columns_; ++column) {
        cell(canvas, panel.values[row][column],
             x + names_ + kCellWidth * static_cast<double>(column),
             y + kCellHeight * static_cast<double>(row));
      }
    }
    canvas.end_group();
  }

  void cell(SvgCanvas& canvas, double value, double x, double y) const {
    const Colour colour = viridis(value / heatmap_.largest);
    canvas.cell(x + 1, y + 1, kCellWidth - 2, kCellHeight - 2, colour);
    TextStyle style{"middle", heatmap_.decimals > 2 ? 10.5 : 12};
    style.fill = needs_white_text(colour) ? "#ffffff" : "#000000";
    canvas.text(x + kCellWidth / 2, y + kCellHeight / 2 + 4.3,
                fixed_number(value, heatmap_.decimals), style);
  }

  void legend(SvgCanvas& canvas, double y) const {
    constexpr int kSteps = 40;
    for (const std::string& line : legend_) {
      canvas.text(kMargin, y + 10, line, {"start", 12, false, true});
      y += kLine;
    }
    for (int step = 0; step < kSteps; ++step) {
      // A little overlap, so that no seams show at other scales.
      canvas.cell(kMargin + kLegendWidth / kSteps * step, y, kLegendWidth / kSteps + 0.5, 10,
                  viridis((step + 0.5) / kSteps));
    }
    for (int tick = 0; tick <= 2; ++tick) {
      canvas.text(kMargin + kLegendWidth * tick / 2, y + 25,
                  fixed_number(heatmap_.largest * tick / 2, heatmap_.decimals),
                  {tick == 0   ? "start"
                   : tick == 1 ? "middle"
                               : "end",
                   12, false, true});
    }
  }

  const MatrixHeatmap& heatmap_;
  Heading heading_;
  std::vector<std::string> legend_;
  double names_ = 0;  // width of the row names
  double panel_title_ = 0, panel_width_ = 0, panel_height_ = 0, width_ = 0, header_ = 0;
  size_t columns_ = 0, beside_ = 1;
};

}  // namespace

std::string matrix_heatmap_svg(const MatrixHeatmap& heatmap) {
  return HeatmapDrawing(heatmap).svg();
}

double scale_end(double largest) {
  if (!(largest > 0)) return 0.1;
  if (largest > 0.1) return std::ceil(largest * 10 - 1e-9) / 10;
  const double unit = std::pow(10.0, std::floor(std::log10(largest)) - 1);
  return std::ceil(largest / unit - 1e-9) * unit;
}

std::string preferences_in_words(const RoutingRows& shares, const std::vector<std::string>& tasks) {
  std::string words;
  const auto preferred = preferred_experts(shares);
  for (size_t task = 0; task < shares.size(); ++task) {
    words += (task == 0 ? "" : ", ") + tasks[task] + " selects expert " +
             std::to_string(preferred[task]) + " most (" +
             per_cent(shares[task][preferred[task]], 0) + " %)";
  }
  return words;
}

}  // namespace cdsp
