// What the arms come to, in tables.
#pragma once

#include "report/page/figure_set.h"

namespace cdsp::page {

/// Table A2 with the published figures beside it, the arms with the task withheld, accuracies by
/// task, and every other measure.
Html comparison_results(const ReportData& data);

/// The measures of an ablation as tables and charts.
Html ablation_results(const AblationData& ablation, FigureSet& figures);

/// A single run's figures.
Html run_results(const RunData& run);

}  // namespace cdsp::page
