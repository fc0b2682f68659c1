// What the arms come to, in tables.
#pragma once

#include "report/page/figure_set.h"
#include "report/training_facts.h"

namespace cdsp::page {

/// How long and on what the runs were trained, as far as the files say.
TrainingFacts training_facts(const ReportData& data);

/// Table A2 with the published figures beside it, the arms with the task withheld, accuracies by
/// task, and every other measure.
Html comparison_results(const ReportData& data);

/// The measures of an ablation as tables and charts.
Html ablation_results(const ReportData& data, FigureSet& figures);

/// A single run's figures.
Html run_results(const RunData& run);

}  // namespace cdsp::page
