// An ablation: one config with one key at several values, several seeds of each.
//
// A study file (configs/ablations/NAME.yaml) names them; paths are relative to it:
//
//   title: How strong must the conflict be?
//   config: ../paper/cdsp.yaml
//   key: conflict.lambda
//   values: [0, 1, 10, 100]
//   set: [train.epochs=5]      # optional, for every run
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "experiment/comparison.h"
#include "experiment/run_queue.h"

namespace cdsp {

struct AblationStudy {
  std::string title;  // may be empty
  std::filesystem::path config;
  std::string key;
  std::vector<std::string> values;  // as YAML; each names a folder, so no blanks and no slashes
  std::vector<std::string> overrides;
};

/// Throws InputError naming file, line and what is allowed.
AblationStudy load_study(const std::filesystem::path& file);

struct AblationOptions {
  AblationStudy study;
  std::vector<uint64_t> seeds = {0};
  std::vector<std::string> overrides;  // on top of the study's, below the key at its value
  std::filesystem::path out;
  std::vector<std::filesystem::path> from;
  int64_t jobs = 0;
  const std::atomic<int>* stop = nullptr;
};

struct Ablation {
  AblationStudy study;
  std::vector<std::string> tasks;
  std::vector<uint64_t> seeds;
  std::vector<ComparedRun> runs;  // arm "KEY=VALUE"; by value, then seed
  /// The value that the others are set against: the config's own, or the first where that is not
  /// among them.
  std::string base;
  std::vector<std::pair<std::string, std::string>> provenance;  // data, who made runs and tables
  std::vector<std::string> notes;  // what a reader of the tables must know, a sentence each

  std::string arm(const std::string& value) const { return study.key + "=" + value; }
};

/// The measure at a value less that at the base value, seed by seed.
Spread difference_to_base(const Ablation& ablation, const std::string& value,
                          const std::string& measure);

/// The runs, OUT/KEY=VALUE/seed_S, and what is to be done for each; changes nothing. Throws
/// InputError for a key that cannot be ablated (data.*, seed, what changes the images' shape or
/// classes), a value that the key does not take, or two values that mean the same.
RunPlan plan_ablation(const AblationOptions& options);

/// Finished runs are used, unfinished ones continued. Empty if asked to stop on the way.
std::optional<Ablation> run_ablation(const AblationOptions& options, const RunLauncher& launcher,
                                     QueueObserver& observer);

nlohmann::ordered_json ablation_json(const Ablation& ablation, const std::filesystem::path& out);
/// A row per run: value, seed, every measure.
std::string ablation_csv(const Ablation& ablation);

/// Writes ablation.json and ablation.csv into `out`; returns their paths.
std::vector<std::filesystem::path> write_ablation(const Ablation& ablation,
                                                  const std::filesystem::path& out);

}  // namespace cdsp
