// comparison.json: the arms side by side, their measures over seeds, and the runs behind them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/data/run_data.h"

namespace cdsp::page {

/// A measure over the seeds of an arm.
struct MeasuredData {
  double mean = 0;  // NaN if it is not defined
  double std = 0;   // sample standard deviation; NaN with one seed
  std::optional<std::pair<double, double>> interval;
  int64_t seeds = 0;
};

struct ArmData {
  std::string name, variant;
  KeyValues differs_from_cdsp;
  int64_t steps = 0, epochs = 0;  // of each of its trainings; 0 if unknown
  std::map<std::string, MeasuredData> measures;
};

struct PublishedData {
  double loss = 0, accuracy = 0;  // NaN if unknown
};

struct ComparisonData {
  std::string suite;
  std::vector<std::string> tasks;
  std::vector<uint64_t> seeds;
  std::vector<ArmData> arms;  // in the order to show them
  std::map<std::string, PublishedData> published;
  std::string labels;                             // data.labels; empty if unknown
  std::vector<double> train_images, test_images;  // by task; empty if unknown
  std::vector<double> linear_train, linear_test;  // by task; empty if not measured
  KeyValues provenance;

  const ArmData* arm(const std::string& name) const;
};

/// Accuracies by task of a comparison's run; empty if not measured.
struct TaskAccuracies {
  std::vector<double> train, test, blind;
};

struct ComparedRuns {
  std::vector<RunData> runs;
  std::vector<TaskAccuracies> accuracies;  // of each of them
};

/// Reads comparison.json in `folder` and the runs that it names, in their order; a run whose folder
/// is gone keeps what comparison.json says of it. Throws InputError naming the file.
ComparisonData read_comparison(const std::filesystem::path& folder, ComparedRuns& runs);

}  // namespace cdsp::page
