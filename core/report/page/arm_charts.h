// Measures arm by arm: the arms as rows, the seeds as strokes, the mean with its interval.
#pragma once

#include <set>
#include <string>

#include "report/page/figure_set.h"

namespace cdsp::page {

struct ArmMeasure {
  std::string name;  // in comparison.json
  std::string title, unit;
  double scale = 1;
};

/// A row for every arm that has the measure, without those left out; empty if none has it.
Html chart_by_arm(const ReportData& data, const ArmMeasure& measure,
                  const std::set<std::string>& left_out, FigureSet& figures);

/// CDSP minus each other arm at the same seeds, from the third experiment's folder; empty if it
/// holds no such measure.
Html chart_of_differences(const ReportData& data, const ArmMeasure& measure,
                          const std::set<std::string>& left_out, FigureSet& figures);

}  // namespace cdsp::page
