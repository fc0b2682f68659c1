// The runs of a comparison or an ablation before any work: which there are, where they live, what
// is left to do for each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "experiment/run_directory.h"
#include "experiment/suite.h"

namespace cdsp {

struct PlannedRun {
  std::string arm;
  Config config;                 // with the run's own seed
  std::filesystem::path folder;  // OUT/ARM/seed_S, or where a run given by --from lives
  RunState state = RunState::kAbsent;
  bool judged = false;  // has a blind evaluation of its last weights, told and not told
  int64_t steps_done = 0, total_steps = 0;
  double wall_seconds = 0;  // that the steps done took, the evaluations on the way included
  int64_t steps_per_epoch = 0;
  double evaluation_steps = 0;    // what one look at all test images costs, in steps, roughly
  std::optional<RunMaker> maker;  // of what there is of it

  bool complete() const { return state == RunState::kFinished && judged; }
  /// "train", "continue", "evaluate" or "reuse".
  const char* action() const;
  /// "cdsp seed 0"
  std::string name() const { return arm + " seed " + std::to_string(config.seed); }
};

struct RunRequest {
  std::vector<SuiteArm> arms;  // of the same data
  std::vector<uint64_t> seeds;
  std::filesystem::path out;
  /// Finished runs to use where OUT has none: run folders, or folders with runs up to three levels
  /// down.
  std::vector<std::filesystem::path> from;
};

struct RunPlan {
  Dataset data;
  std::vector<PlannedRun> runs;  // by arm, then seed
};

/// "0,3,5", "0..4" or a mix -> the seeds in that order. Throws InputError.
std::vector<uint64_t> parse_seeds(const std::string& text);

/// Loads the data and looks at every folder; changes nothing. Throws InputError naming run, key and
/// both values where a run of another config, data or program stands in the way: in OUT, or in
/// `from` for a run of the same arm and seed (or one that is named itself and fits nowhere). The
/// same where the runs are not all of one version of cdsp, of LibTorch and kind of device; those
/// that are still to be trained are of this program's.
RunPlan plan_runs(const RunRequest& request);

/// Makes the folder of the runs if need be. Throws InputError naming it if that cannot be.
void make_folder(const std::filesystem::path& out);

/// Whether the folder's blind evaluation is of just this run's last weights and data, and holds the
/// blind protocol set against the informed one.
bool is_judged(const std::filesystem::path& run, const Dataset& data);

/// Seconds a step of that arm takes, from the runs that have taken steps; from those of all arms
/// where the arm has none. Empty if no run has.
std::optional<double> seconds_per_step(const std::vector<PlannedRun>& runs, const std::string& arm);

/// Seconds a step takes, its share of the evaluations after the epochs included, from those that
/// were seen done between `first` and `last` within so many seconds. Empty where that is too little
/// to tell by.
std::optional<double> pace_seen(const PlannedRun& run, int64_t first, int64_t last, double seconds);

/// Seconds that `jobs` runs side by side need for what is left, the last evaluation of each
/// included; empty without a measured run. `evaluation_seconds`: of such an evaluation, if known.
std::optional<double> estimated_seconds(const std::vector<PlannedRun>& runs, int64_t jobs,
                                        std::optional<double> evaluation_seconds = std::nullopt);

}  // namespace cdsp
