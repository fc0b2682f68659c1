// Everything that a folder holds for a report: a run, a comparison, an ablation, the checks of the
// theory, or several of them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "report/data/ablation_data.h"
#include "report/data/claims_data.h"
#include "report/data/comparison_data.h"
#include "report/data/experiment_data.h"
#include "report/data/run_data.h"
#include "report/data/theory_data.h"

namespace cdsp::page {

struct ReportData {
  std::filesystem::path folder;
  std::vector<RunData> runs;               // of the comparison, the ablation, or the one run
  std::vector<TaskAccuracies> accuracies;  // of the comparison's runs
  std::optional<ComparisonData> comparison;
  std::optional<AblationData> ablation;
  std::vector<ExperimentData> experiments;
  std::optional<ClaimsData> claims;
  std::optional<TheoryData> theory;
  std::vector<std::string> missing;  // sentences about what the report would show if it were there

  /// Names of the arms in the order to show them, each once.
  std::vector<std::string> arms() const;
  /// The runs of an arm, in the order of the files.
  std::vector<const RunData*> runs_of(const std::string& arm) const;
  /// The run that stands for an arm in pictures: its first one that has tables; null if none has.
  const RunData* shown_run(const std::string& arm) const;
  /// The experiment whose id begins so ("2_"); null if there is none.
  const ExperimentData* experiment(const std::string& start) const;
};

/// Throws InputError if the folder holds none of them, or naming the file that is broken.
ReportData read_report_data(const std::filesystem::path& folder);

}  // namespace cdsp::page
