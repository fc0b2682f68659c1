// The arms of a suite side by side: trains what is missing, blind-evaluates, measures, and writes
// what it comes to.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiment/comparison.h"
#include "experiment/run_queue.h"

namespace cdsp {

struct CompareOptions {
  std::filesystem::path suite = "configs/paper";  // a folder of configs, or a suite file
  std::vector<uint64_t> seeds = {0};
  std::vector<std::string> overrides;  // for every run
  std::vector<std::string> arms;       // of the suite; empty = all
  std::filesystem::path out;
  std::vector<std::filesystem::path> from;  // finished runs to use
  int64_t jobs = 0;                         // runs side by side; 0 = as many as suit the machine
  const std::atomic<int>* stop = nullptr;
};

/// The runs of the comparison and what is to be done for each; changes nothing. Throws InputError
/// where a run of another config, data or program stands in the way.
RunPlan plan_comparison(const CompareOptions& options);

/// Runs live in OUT/ARM/seed_S. Finished ones of the same config, data and program are used as they
/// are, unfinished ones continued. Empty if asked to stop on the way.
std::optional<Comparison> compare_baselines(const CompareOptions& options,
                                            const RunLauncher& launcher, QueueObserver& observer);

/// Writes comparison.json, comparison.csv, specialisation.csv, claims.json and experiments/ into
/// `out`; returns their paths.
std::vector<std::filesystem::path> write_comparison(const Comparison& comparison,
                                                    const std::filesystem::path& out);

}  // namespace cdsp
