// Curves of a run's tables over its seeds.
#pragma once

#include <string>
#include <vector>

#include "report/figures/line_chart.h"
#include "report/page/figure_set.h"

namespace cdsp::page {

/// What a curve shows: a column of epochs.csv against the epoch, or of metrics.csv against the
/// step.
struct CurveSource {
  enum class Table { kEpochs, kSteps };
  Table table = Table::kEpochs;
  std::string column;
  double scale = 1;
};

/// The mean over the runs at every epoch or step that one of them has, with a band of one sample
/// standard deviation to either side where two or more have it. No points if no run has the column
/// or all of its cells are empty.
ChartSeries curve_of(const std::vector<const RunData*>& runs, const CurveSource& source,
                     const std::string& label, size_t colour);

/// The same from numbers at hand: values[run] = (x, y) pairs.
ChartSeries curve_over_runs(const std::vector<std::vector<std::pair<double, double>>>& values,
                            const std::string& label, size_t colour);

/// One curve for each arm.
LineChart chart_of_arms(const ReportData& data, const CurveSource& source, const std::string& title,
                        const ChartAxis& y);

/// All curves in one area, or a panel for each where they are too many for that.
std::string curves_svg(const LineChart& chart);

/// The learning curves of all arms, with their values as a table.
Html curves_section(const ReportData& data, FigureSet& figures);

}  // namespace cdsp::page
