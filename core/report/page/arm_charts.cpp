#include "report/page/arm_charts.h"

#include <cmath>

#include "report/figures/interval_chart.h"

namespace cdsp::page {
namespace {

ShownInterval scaled(const ShownInterval& interval, double scale) {
  if (!interval) return interval;
  return std::make_pair(scale * interval->first, scale * interval->second);
}

}  // namespace

Html chart_by_arm(const ReportData& data, const ArmMeasure& measure,
                  const std::set<std::string>& left_out, FigureSet& figures) {
  IntervalChart chart;
  chart.title = measure.title;
  for (const ArmData& arm : data.comparison->arms) {
    const auto found = arm.measures.find(measure.name);
    if (found == arm.measures.end() || left_out.count(arm.name) != 0) continue;
    IntervalRow row;
    row.label = arm_title(arm.name);
    row.unit = measure.unit;
    row.estimate = measure.scale * found->second.mean;
    row.judged = scaled(found->second.interval, measure.scale);
    row.threshold = 0.0;
    for (const RunData* run : data.runs_of(arm.name)) {
      const auto value = run->results.find(measure.name);
      if (value != run->results.end()) row.values.push_back(measure.scale * value->second);
    }
    chart.rows.push_back(row);
  }
  if (chart.rows.empty()) return {};
  return figures.add(measure.name + "_by_arm", interval_chart_svg(chart));
}

Html chart_of_differences(const ReportData& data, const ArmMeasure& measure,
                          const std::set<std::string>& left_out, FigureSet& figures) {
  const ExperimentData* experiment = data.experiment("3_");
  if (experiment == nullptr) return {};
  IntervalChart chart;
  chart.title = "Difference: " + measure.title;
  chart.subtitle = "CDSP minus the arm at the same seeds";
  for (const PairedDifference& difference : experiment->differences) {
    if (difference.measure != measure.name || left_out.count(difference.arm) != 0) continue;
    IntervalRow row;
    row.label = "CDSP − " + arm_title(difference.arm);
    row.unit = measure.unit;
    row.estimate = measure.scale * difference.mean;
    row.judged = scaled(difference.interval, measure.scale);
    row.threshold = 0.0;
    chart.rows.push_back(row);
  }
  if (chart.rows.empty()) return {};
  return figures.add(measure.name + "_differences", interval_chart_svg(chart));
}

}  // namespace cdsp::page
