// baseline, blind and CDSP side by side: trains what is missing, blind-evaluates, and tabulates.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "config/config.h"
#include "eval/evaluate.h"
#include "eval/linear_probe.h"
#include "experiment/train_run.h"

namespace cdsp {

/// One trained and judged run of a comparison.
struct ComparedRun {
  std::string variant;
  uint64_t seed = 0;
  std::filesystem::path folder;
  double train_accuracy = 0, train_loss = 0;  // over the last epoch's steps, while learning
  double test_accuracy = 0, test_loss = 0;    // told the task (variant blind: never told)
  double blind_accuracy = 0;                  // the task withheld
  double blind_accuracy_drop = 0;             // test_accuracy - blind_accuracy
  double separation_index = 0;                // layer 0, informed
  double blind_separation_index = 0;          // layer 0, blind
  std::vector<double> task_train_accuracy, task_test_accuracy, task_blind_accuracy;
  RoutingTable informed_routing, blind_routing;
};

struct Comparison {
  std::vector<std::string> tasks;
  std::vector<double> train_images, test_images;  // per task
  std::vector<ComparedRun> runs;                  // by variant (baseline, blind, cdsp), then seed
  LinearProbeResult linear;  // softmax regression on pixels, one per task: the yardstick
};

struct CompareOptions {
  std::filesystem::path suite = "configs/paper";  // holds baseline.yaml, blind.yaml and cdsp.yaml
  std::vector<uint64_t> seeds = {0};
  std::vector<std::string> overrides;  // for every run
  std::filesystem::path out;
  const std::atomic<int>* stop = nullptr;
};

/// "0,3,5", "0..4" or a mix -> the seeds in that order. Throws InputError.
std::vector<uint64_t> parse_seeds(const std::string& text);

/// Runs live in OUT/VARIANT/seed_S. Finished ones of the same config and data are used as they are,
/// unfinished ones continued; one of another config is an InputError that names the difference.
/// Empty if asked to stop on the way.
std::optional<Comparison> compare_baselines(const CompareOptions& options, RunObserver& observer);

/// Mean, sample standard deviation (none with one seed) of a measure over the seeds of a variant.
struct Spread {
  double mean = 0;
  std::optional<double> std;
  int64_t seeds = 0;
};
Spread spread_of(const std::vector<double>& values);
Spread spread_over_seeds(const Comparison& comparison, const std::string& variant,
                         double ComparedRun::*measure);

/// Mean difference to the baseline of the same seed (negative = below the baseline).
Spread gap_to_baseline(const Comparison& comparison, const std::string& variant,
                       double ComparedRun::*measure);

nlohmann::ordered_json comparison_json(const Comparison& comparison);
/// A row per run.
std::string comparison_csv(const Comparison& comparison);

}  // namespace cdsp
