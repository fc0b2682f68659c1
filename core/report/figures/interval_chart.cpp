#include "report/figures/interval_chart.h"

#include <algorithm>
#include <cmath>

#include "report/figures/axis.h"
#include "report/figures/svg_canvas.h"

namespace cdsp {
namespace {

constexpr double kWidth = 420, kMargin = 14, kLine = 16, kStrip = 30, kAxis = 38, kRowGap = 10;
constexpr size_t kSeriesOfEstimates = 0;

/// Rows [begin, end) on one axis.
struct Group {
  size_t begin = 0, end = 0;
};

std::vector<Group> groups_of(const std::vector<IntervalRow>& rows) {
  std::vector<Group> groups;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (groups.empty() || rows[groups.back().begin].unit != rows[i].unit) groups.push_back({i, i});
    groups.back().end = i + 1;
  }
  return groups;
}

std::string interval_text(const ShownInterval& interval) {
  if (!interval) return "no interval";
  return "[" + short_number(interval->first) + ", " + short_number(interval->second) + "]";
}

/// "0.123 [0.1, 0.2], needs > 0: supported"
std::string finding_text(const IntervalRow& row) {
  std::string text = short_number(row.estimate) + " " + interval_text(row.judged);
  if (row.threshold) text += ", needs " + needed_in_words(row);
  return text + ": " + row.verdict;
}

class IntervalDrawing {
 public:
  explicit IntervalDrawing(const IntervalChart& chart)
      : chart_(chart),
        title_(wrapped(chart.title, kWidth - 2 * kMargin, 14 * 1.05)),
        subtitle_(wrapped(chart.subtitle, kWidth - 2 * kMargin, 12)) {}

  std::string svg() {
    double height =
        kMargin + kLine * static_cast<double>(title_.size() + subtitle_.size()) + kRowGap;
    for (const IntervalRow& row : chart_.rows) height += row_height(row);
    height += kAxis * static_cast<double>(groups_of(chart_.rows).size()) + 4;
    std::string description = chart_.subtitle + (chart_.subtitle.empty() ? "" : ". ");
    for (const IntervalRow& row : chart_.rows) {
      description += row.label + " (" + row.unit + "): " + finding_text(row) + ". ";
    }
    SvgCanvas canvas(kWidth, height, chart_.title, description);
    double y = kMargin + kLine - 4;
    for (const std::string& line : title_) {
      canvas.text(kMargin, y, line, {"start", 14, true});
      y += kLine;
    }
    for (const std::string& line : subtitle_) {
      canvas.text(kMargin, y, line, {"start", 12, false, true});
      y += kLine;
    }
    y += kRowGap - kLine + 4;
    for (const Group& group : groups_of(chart_.rows)) y = draw_group(canvas, group, y);
    return canvas.finish();
  }

 private:
  static std::vector<std::string> label_lines(const IntervalRow& row) {
    auto lines = wrapped(row.label, kWidth - 2 * kMargin, 12.5);
    for (const std::string& line : wrapped(finding_text(row), kWidth - 2 * kMargin, 12)) {
      lines.push_back(line);
    }
    return lines;
  }

  static double row_height(const IntervalRow& row) {
    return kLine * static_cast<double>(label_lines(row).size()) + kStrip + kRowGap;
  }

  Axis axis_of(const Group& group) const {
    std::vector<double> values;
    for (size_t i = group.begin; i < group.end; ++i) {
      const IntervalRow& row = chart_.rows[i];
      values.insert(values.end(), row.values.begin(), row.values.end());
      values.push_back(row.estimate);
      if (row.threshold) values.push_back(*row.threshold);
      for (const ShownInterval& interval : {row.judged, row.bootstrap}) {
        if (interval) values.insert(values.end(), {interval->first, interval->second});
      }
    }
    return Axis(values, false, true, 5);
  }

  double draw_group(SvgCanvas& canvas, const Group& group, double y) const {
    const Axis axis = axis_of(group);
    const double left = kMargin + 14, right = kWidth - kMargin - 14;
    const auto place = [&](double value) { return left + axis.position(value) * (right - left); };
    for (size_t i = group.begin; i < group.end; ++i) {
      const IntervalRow& row = chart_.rows[i];
      const size_t names = wrapped(row.label, kWidth - 2 * kMargin, 12.5).size();
      const auto lines = label_lines(row);
      for (size_t line = 0; line < lines.size(); ++line) {
        canvas.text(kMargin, y + 12, lines[line], {"start", 12, line < names, line >= names});
        y += kLine;
      }
      strip(canvas, row, place, left, right, y + 4);
      y += kStrip + kRowGap;
    }
    canvas.lines({{left, y - 4}, {right, y - 4}}, axis_line());
    for (const Tick& tick : axis.ticks()) {
      canvas.lines({{place(tick.value), y - 4}, {place(tick.value), y}}, axis_line());
      canvas.text(place(tick.value), y + 12, tick.text, {"middle", 11, false, true});
    }
    canvas.text((left + right) / 2, y + 27, chart_.rows[group.begin].unit,
                {"middle", 11, false, true});
    return y + kAxis;
  }

  /// One row's marks: the side that the claim needs shaded, seeds as points, the intervals below
  /// each other, the estimate on top.
  template <class Place>
  static void strip(SvgCanvas& canvas, const IntervalRow& row, const Place& place, double left,
                    double right, double y) {
    if (row.threshold) {
      const double at = place(*row.threshold);
      const bool above = row.direction.rfind('>', 0) == 0;
      const double from = above ? at : left, to = above ? right : at;
      if (to > from) canvas.area(from, y, to - from, kStrip - 4, "wanted", "#0072b2", 0.09);
      canvas.lines({{at, y - 2}, {at, y + kStrip - 2}}, threshold_line());
    }
    const double middle = y + 10, below = y + 21;
    if (row.judged) {
      canvas.lines({{place(row.judged->first), middle}, {place(row.judged->second), middle}},
                   series_line(kSeriesOfEstimates));
      for (const double end : {row.judged->first, row.judged->second}) {
        canvas.lines({{place(end), middle - 5}, {place(end), middle + 5}},
                     series_line(kSeriesOfEstimates));
      }
    }
    if (row.bootstrap) {
      canvas.lines({{place(row.bootstrap->first), below}, {place(row.bootstrap->second), below}},
                   series_line(kSeriesOfEstimates, true));
    }
    for (const double value : row.values) {
      if (!std::isfinite(value)) continue;
      const double x = place(value);
      canvas.lines({{x, below - 3.5}, {x, below + 3.5}}, axis_line());
    }
    if (std::isfinite(row.estimate)) canvas.marker(place(row.estimate), middle, 0, 4);
  }

  const IntervalChart& chart_;
  std::vector<std::string> title_, subtitle_;
};

}  // namespace

std::string interval_chart_svg(const IntervalChart& chart) { return IntervalDrawing(chart).svg(); }

std::string needed_in_words(const IntervalRow& row) {
  if (!row.threshold) return "";
  const std::string sign = row.direction == ">="   ? "≥"
                           : row.direction == "<=" ? "≤"
                                                   : row.direction;
  return sign + " " + short_number(*row.threshold);
}

}  // namespace cdsp
