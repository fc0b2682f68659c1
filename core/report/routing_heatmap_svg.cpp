#include "report/routing_heatmap_svg.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "report/colour_scale.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

// Sizes in pixels at scale 1.
constexpr double kMargin = 24, kCellWidth = 44, kCellHeight = 32, kPanelGap = 32;
constexpr double kHeader = 72, kPanelTitle = 26, kExpertNames = 20, kLegend = 64;
constexpr double kLegendWidth = 220, kCharacter = 7.2;
constexpr const char* kInk = "#1f2328";
constexpr const char* kSoftInk = "#57606a";
constexpr const char* kPaper = "#f6f8fa";

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// Writes the picture piece by piece; coordinates with at most one decimal.
class Drawing {
 public:
  explicit Drawing(const HeatmapPicture& picture) : picture_(picture) {
    for (const HeatmapPanel& panel : picture.panels) {
      largest_ = std::max(largest_, largest_share(panel.shares));
      experts_ = std::max(experts_, panel.shares.front().size());
    }
    largest_ = std::ceil(largest_ * 10.0 - 1e-9) / 10.0;
    for (const std::string& task : picture.tasks) {
      names_ = std::max(names_, kCharacter * static_cast<double>(task.size()) + 10.0);
    }
  }

  std::string svg() {
    const size_t columns = std::min(picture_.columns, picture_.panels.size());
    const size_t rows = (picture_.panels.size() + columns - 1) / columns;
    const double panel_width = names_ + kCellWidth * static_cast<double>(experts_);
    const double panel_height =
        kPanelTitle + kExpertNames + kCellHeight * static_cast<double>(picture_.tasks.size());
    const double title_width =
        2 * kMargin +
        1.3 * kCharacter *
            static_cast<double>(std::max(picture_.title.size(), picture_.subtitle.size()));
    const double width = std::max(
        {2 * kMargin + static_cast<double>(columns) * (panel_width + kPanelGap) - kPanelGap,
         title_width, 2 * kMargin + kLegendWidth});
    const double height =
        kHeader + static_cast<double>(rows) * (panel_height + kPanelGap) + kLegend;
    open(width, height);
    text(kMargin, 34, picture_.title, "font-size=\"18\" font-weight=\"600\"");
    text(kMargin, 54, picture_.subtitle, "fill=\"" + std::string(kSoftInk) + "\"");
    for (size_t i = 0; i < picture_.panels.size(); ++i) {
      const size_t row = i / columns, column = i % columns;
      panel(picture_.panels[i], kMargin + static_cast<double>(column) * (panel_width + kPanelGap),
            kHeader + static_cast<double>(row) * (panel_height + kPanelGap));
    }
    legend(kMargin, height - kLegend + 8);
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  void open(double width, double height) {
    const std::string size =
        "width=\"" + fixed_number(width, 0) + "\" height=\"" + fixed_number(height, 0) + "\"";
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" " << size << " viewBox=\"0 0 "
         << fixed_number(width, 0) << ' ' << fixed_number(height, 0)
         << "\" role=\"img\" aria-label=\"" << escaped(picture_.title)
         << "\"\n     font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, "
         << "sans-serif\" font-size=\"13\" fill=\"" << kInk << "\">\n";
    out_ << "<title>" << escaped(picture_.title) << "</title>\n<desc>" << escaped(description())
         << "</desc>\n";
    out_ << "<rect " << size << " rx=\"10\" fill=\"" << kPaper << "\" stroke=\"#d0d7de\"/>\n";
  }

  /// What the picture shows, in words: each task's most selected expert in every panel.
  std::string description() const {
    std::string words = picture_.subtitle + ". ";
    for (const HeatmapPanel& panel : picture_.panels) {
      words += panel.title + ":";
      const auto preferred = preferred_experts(panel.shares);
      for (size_t task = 0; task < panel.shares.size(); ++task) {
        words += (task == 0 ? " " : ", ") + picture_.tasks[task] + " selects expert " +
                 std::to_string(preferred[task]) + " most (" +
                 per_cent(panel.shares[task][preferred[task]], 0) + " %)";
      }
      words += ". ";
    }
    return words;
  }

  void text(double x, double y, const std::string& content, const std::string& attributes) {
    out_ << "<text x=\"" << fixed_number(x, 1) << "\" y=\"" << fixed_number(y, 1) << '"'
         << (attributes.empty() ? "" : " ") << attributes << '>' << escaped(content) << "</text>\n";
  }

  void rectangle(double x, double y, double width, double height, Colour colour) {
    out_ << "<rect x=\"" << fixed_number(x, 1) << "\" y=\"" << fixed_number(y, 1) << "\" width=\""
         << fixed_number(width, 1) << "\" height=\"" << fixed_number(height, 1) << "\" fill=\""
         << hex_code(colour) << "\"/>\n";
  }

  void panel(const HeatmapPanel& panel, double x, double y) {
    out_ << "<g>\n";
    text(x, y + 14, panel.title, "font-weight=\"600\"");
    y += kPanelTitle;
    for (size_t expert = 0; expert < panel.shares.front().size(); ++expert) {
      text(x + names_ + kCellWidth * (static_cast<double>(expert) + 0.5), y + 13,
           "E" + std::to_string(expert),
           "text-anchor=\"middle\" font-size=\"12\" fill=\"" + std::string(kSoftInk) + "\"");
    }
    y += kExpertNames;
    for (size_t task = 0; task < panel.shares.size(); ++task, y += kCellHeight) {
      text(x + names_ - 8, y + kCellHeight / 2 + 4.5, picture_.tasks[task], "text-anchor=\"end\"");
      for (size_t expert = 0; expert < panel.shares[task].size(); ++expert) {
        const double share = panel.shares[task][expert];
        const Colour colour = viridis(share / largest_);
        const double left = x + names_ + kCellWidth * static_cast<double>(expert);
        rectangle(left + 1, y + 1, kCellWidth - 2, kCellHeight - 2, colour);
        text(left + kCellWidth / 2, y + kCellHeight / 2 + 4.5, fixed_number(share, 2),
             std::string("text-anchor=\"middle\" font-size=\"12\" fill=\"") +
                 (needs_white_text(colour) ? "#ffffff" : "#000000") + "\"");
      }
    }
    out_ << "</g>\n";
  }

  void legend(double x, double y) {
    constexpr int kSteps = 44;
    out_ << "<g>\n";
    text(x, y + 4, "Share of the task's expert selections (rows sum to 1)", "font-size=\"12\"");
    for (int step = 0; step < kSteps; ++step) {
      // A little overlap, so that no seams show at other scales.
      rectangle(x + kLegendWidth / kSteps * step, y + 12, kLegendWidth / kSteps + 0.5, 12,
                viridis((step + 0.5) / kSteps));
    }
    for (int tick = 0; tick <= 2; ++tick) {
      const char* anchor = tick == 0 ? "start" : tick == 1 ? "middle" : "end";
      text(x + kLegendWidth * tick / 2, y + 40, fixed_number(largest_ * tick / 2, 2),
           "text-anchor=\"" + std::string(anchor) + "\" font-size=\"12\"");
    }
    out_ << "</g>\n";
  }

  const HeatmapPicture& picture_;
  std::ostringstream out_;
  double largest_ = 0.1;
  double names_ = 0;  // width of the column of task names
  size_t experts_ = 0;
};

}  // namespace

std::string routing_heatmap_svg(const HeatmapPicture& picture) { return Drawing(picture).svg(); }

}  // namespace cdsp
