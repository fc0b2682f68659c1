#include "report/figures/interval_chart.h"

#include <algorithm>
#include <cmath>

#include "report/figures/axis.h"
#include "report/figures/heading.h"

namespace cdsp {
namespace {

constexpr double kWidth = 420, kMargin = kFigureMargin, kLine = 16, kAxis = 38, kRowGap = 9;
/// The lines of a row's marks: the estimate, the bootstrap interval, the seeds.
constexpr double kEstimateLine = 16, kBootstrapLine = 10, kSeedsLine = 12;
constexpr double kLabelSize = 12.5, kTextSize = 12, kLegendText = 11;
constexpr size_t kSeriesOfEstimates = 0;
/// A threshold keeps this share of the values' range as room on the side that is needed.
constexpr double kRoomBeyondThreshold = 0.12;

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
  std::string text = estimate_in_words(row) + " " + interval_text(row.judged);
  const std::string needed = needed_in_words(row);
  if (!needed.empty()) text += ", needs " + needed;
  return text + (row.verdict.empty() ? "" : ": " + row.verdict);
}

bool needs_more(const IntervalRow& row) { return row.direction.rfind('>', 0) == 0; }

/// One mark of the legend and what it means.
struct LegendEntry {
  enum class Mark { kEstimate, kBootstrap, kSeed, kNeeded };
  Mark mark;
  std::string text;
  double x = 0;
  int line = 0;
};

class IntervalDrawing {
 public:
  explicit IntervalDrawing(const IntervalChart& chart)
      : chart_(chart), heading_(chart.title, chart.subtitle, kWidth, kLine) {
    lay_out_legend();
  }

  std::string svg() {
    double height = heading_.bottom() + kRowGap;
    for (const IntervalRow& row : chart_.rows) height += row_height(row);
    height += kAxis * static_cast<double>(groups_of(chart_.rows).size());
    const double legend_top = height;
    if (!legend_.empty()) height += kLine * (legend_.back().line + 1) + 8;
    std::string description = chart_.subtitle + (chart_.subtitle.empty() ? "" : ". ");
    for (const IntervalRow& row : chart_.rows) {
      const std::string unit = row.unit.empty() ? "" : " (" + row.unit + ")";
      description += row.label + unit + ": " + finding_text(row) + ". ";
    }
    SvgCanvas canvas(kWidth, height, chart_.title, description);
    heading_.draw(canvas);
    double y = heading_.bottom() + kRowGap;
    for (const Group& group : groups_of(chart_.rows)) y = draw_group(canvas, group, y);
    legend(canvas, legend_top);
    return canvas.finish();
  }

 private:
  static std::vector<std::string> names_of(const IntervalRow& row) {
    return wrapped(row.label, kWidth - 2 * kMargin, kLabelSize * 1.08);
  }

  /// Whether the finding has room behind the label's last line.
  static bool fits_beside(const IntervalRow& row) {
    return drawn_width(names_of(row).back(), kLabelSize * 1.05) + 14 +
               drawn_width(finding_text(row), kTextSize) <=
           kWidth - 2 * kMargin;
  }

  static std::vector<std::string> findings_of(const IntervalRow& row) {
    if (fits_beside(row)) return {};
    return wrapped(finding_text(row), kWidth - 2 * kMargin, kTextSize);
  }

  static double strip_height(const IntervalRow& row) {
    return kEstimateLine + (row.bootstrap ? kBootstrapLine : 0) +
           (row.values.empty() ? 0 : kSeedsLine);
  }

  static double row_height(const IntervalRow& row) {
    return kLine * static_cast<double>(names_of(row).size() + findings_of(row).size()) +
           strip_height(row) + kRowGap;
  }

  Axis axis_of(const Group& group) const {
    std::vector<double> values;
    AxisRules rules{false, true};
    for (size_t i = group.begin; i < group.end; ++i) {
      const IntervalRow& row = chart_.rows[i];
      values.insert(values.end(), row.values.begin(), row.values.end());
      values.push_back(row.estimate);
      if (row.threshold) values.push_back(*row.threshold);
      for (const ShownInterval& interval : {row.judged, row.bootstrap}) {
        if (interval) values.insert(values.end(), {interval->first, interval->second});
      }
      if (!row.of_seeds) continue;
      values.insert(values.end(), {0.0, 1.0});
      rules.least = 0;
      rules.most = 1;
    }
    values.erase(std::remove_if(values.begin(), values.end(),
                                [](double value) { return !std::isfinite(value); }),
                 values.end());
    if (values.empty()) return {values, rules};
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double room = *high > *low ? kRoomBeyondThreshold * (*high - *low)
                                     : std::max(0.1 * std::abs(*high), 0.01);
    for (size_t i = group.begin; i < group.end; ++i) {
      const IntervalRow& row = chart_.rows[i];
      if (!row.threshold || row.direction.empty()) continue;
      values.push_back(*row.threshold + (needs_more(row) ? room : -room));
    }
    // An axis of what is never negative does not begin below 0.
    if (*std::min_element(values.begin(), values.end()) >= 0) rules.least = 0;
    return {values, rules};
  }

  double draw_group(SvgCanvas& canvas, const Group& group, double y) const {
    const Axis axis = axis_of(group);
    const double left = kMargin + 14, right = kWidth - kMargin - 14;
    const auto place = [&](double value) { return left + axis.position(value) * (right - left); };
    for (size_t i = group.begin; i < group.end; ++i) {
      const IntervalRow& row = chart_.rows[i];
      for (const std::string& line : names_of(row)) {
        canvas.text(kMargin, y + 12, line, {"start", kLabelSize, true});
        y += kLine;
      }
      if (fits_beside(row)) {
        canvas.text(kWidth - kMargin, y + 12 - kLine, finding_text(row),
                    {"end", kTextSize, false, true});
      }
      for (const std::string& line : findings_of(row)) {
        canvas.text(kMargin, y + 12, line, {"start", kTextSize, false, true});
        y += kLine;
      }
      strip(canvas, row, place, left, right, y + 2);
      y += strip_height(row) + kRowGap;
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

  /// One row's marks: the side that is needed shaded, then the estimate with its interval, the
  /// bootstrap interval and the seeds, each on a line of its own.
  template <class Place>
  static void strip(SvgCanvas& canvas, const IntervalRow& row, const Place& place, double left,
                    double right, double y) {
    const double height = strip_height(row);
    if (row.threshold) {
      const double at = place(*row.threshold);
      const double from = needs_more(row) ? at : left, to = needs_more(row) ? right : at;
      if (to > from && !row.direction.empty()) {
        canvas.area(from, y, to - from, height, "wanted", "#0072b2", 0.12);
      }
      canvas.lines({{at, y}, {at, y + height + 2}}, threshold_line());
    }
    double line = y + kEstimateLine / 2;
    if (row.judged) interval_bar(canvas, place(row.judged->first), place(row.judged->second), line);
    if (std::isfinite(row.estimate)) canvas.marker(place(row.estimate), line, 0, 4);
    line += kEstimateLine / 2;
    if (row.bootstrap) {
      line += kBootstrapLine / 2;
      canvas.lines({{place(row.bootstrap->first), line}, {place(row.bootstrap->second), line}},
                   series_line(kSeriesOfEstimates, true));
      line += kBootstrapLine / 2;
    }
    line += kSeedsLine / 2;
    for (const double value : row.values) {
      if (std::isfinite(value)) seed_stroke(canvas, place(value), line);
    }
  }

  static void interval_bar(SvgCanvas& canvas, double from, double to, double y) {
    canvas.lines({{from, y}, {to, y}}, series_line(kSeriesOfEstimates));
    for (const double end : {from, to}) {
      canvas.lines({{end, y - 5}, {end, y + 5}}, series_line(kSeriesOfEstimates));
    }
  }

  static void seed_stroke(SvgCanvas& canvas, double x, double y) {
    canvas.lines({{x, y - 4}, {x, y + 4}}, axis_line());
  }

  void lay_out_legend() {
    using Mark = LegendEntry::Mark;
    const auto& rows = chart_.rows;
    const auto any = [&](const auto& holds) {
      return std::any_of(rows.begin(), rows.end(), holds);
    };
    const bool intervals = any([](const IntervalRow& row) { return row.judged.has_value(); });
    legend_.push_back({Mark::kEstimate, intervals ? "estimate, 95 % interval" : "estimate"});
    if (any([](const IntervalRow& row) { return row.bootstrap.has_value(); })) {
      legend_.push_back({Mark::kBootstrap, "bootstrap"});
    }
    if (any([](const IntervalRow& row) { return !row.values.empty(); })) {
      legend_.push_back({Mark::kSeed, "a seed"});
    }
    if (any([](const IntervalRow& row) { return !needed_in_words(row).empty(); })) {
      legend_.push_back({Mark::kNeeded, "needed"});
    }
    double x = kMargin;
    int line = 0;
    for (LegendEntry& entry : legend_) {
      const double width = 28 + drawn_width(entry.text, kLegendText * 0.92) + 8;
      if (x > kMargin && x + width > kWidth - kMargin + 8) {
        x = kMargin;
        ++line;
      }
      entry.x = x;
      entry.line = line;
      x += width;
    }
  }

  void legend(SvgCanvas& canvas, double top) const {
    for (const LegendEntry& entry : legend_) {
      const double x = entry.x, y = top + kLine * entry.line + 6;
      switch (entry.mark) {
        case LegendEntry::Mark::kEstimate:
          interval_bar(canvas, x + 1, x + 23, y);
          canvas.marker(x + 12, y, 0, 4);
          break;
        case LegendEntry::Mark::kBootstrap:
          canvas.lines({{x + 1, y}, {x + 23, y}}, series_line(kSeriesOfEstimates, true));
          break;
        case LegendEntry::Mark::kSeed:
          seed_stroke(canvas, x + 18, y);
          break;
        case LegendEntry::Mark::kNeeded:
          canvas.area(x + 3, y - 6, 20, 12, "wanted", "#0072b2", 0.12);
          canvas.lines({{x + 3, y - 7}, {x + 3, y + 7}}, threshold_line());
          break;
      }
      canvas.text(x + 28, y + 4, entry.text, {"start", kLegendText, false, true});
    }
  }

  const IntervalChart& chart_;
  Heading heading_;
  std::vector<LegendEntry> legend_;
};

}  // namespace

std::string interval_chart_svg(const IntervalChart& chart) { return IntervalDrawing(chart).svg(); }

std::string needed_in_words(const IntervalRow& row) {
  if (!row.threshold || row.direction.empty()) return "";
  const std::string sign = row.direction == ">="   ? "≥"
                           : row.direction == "<=" ? "≤"
                                                   : row.direction;
  return sign + " " + short_number(*row.threshold);
}

std::string estimate_in_words(const IntervalRow& row, int digits) {
  if (!row.of_seeds || !std::isfinite(row.estimate)) return short_number(row.estimate, digits);
  const auto seeds = std::count_if(row.values.begin(), row.values.end(),
                                   [](double value) { return std::isfinite(value); });
  return short_number(std::round(row.estimate * static_cast<double>(seeds))) + " of " +
         std::to_string(seeds) + (seeds == 1 ? " seed" : " seeds");
}

}  // namespace cdsp
