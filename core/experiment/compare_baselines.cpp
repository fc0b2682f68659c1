#include "experiment/compare_baselines.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/comparison_files.h"
#include "experiment/experiments.h"
#include "experiment/fingerprint.h"
#include "experiment/run_tables.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

RunRequest request_of(const CompareOptions& options, const Suite& suite) {
  return {suite.arms, options.seeds, options.out, options.from};
}

std::vector<ComparedArm> arms_of(const Suite& suite) {
  const SuiteArm* cdsp = nullptr;
  for (const SuiteArm& arm : suite.arms) {
    if (arm.name == "cdsp") cdsp = &arm;
  }
  std::vector<ComparedArm> arms;
  for (const SuiteArm& arm : suite.arms) {
    ComparedArm compared{arm.name, to_string(arm.config.variant), {}};
    if (cdsp != nullptr) {
      for (const KeyDifference& difference : differing_keys(cdsp->config, arm.config)) {
        if (difference.key != "variant" && difference.key != "seed")
          compared.differs_from_cdsp.emplace_back(difference.key, difference.wanted);
      }
    }
    arms.push_back(compared);
  }
  return arms;
}

/// How long each arm trained: the same for all of its seeds.
void add_lengths(const std::vector<PlannedRun>& runs, std::vector<ComparedArm>& arms) {
  for (ComparedArm& arm : arms) {
    for (const PlannedRun& run : runs) {
      if (run.arm != arm.name) continue;
      const auto record = read_run_record(run.folder);
      arm.steps = record ? record->steps : run.total_steps;
      arm.epochs = record ? record->epochs : run.config.train.epochs;
      arm.batch_size = run.config.train.batch_size;
      break;
    }
  }
}

/// Finished runs whose files are not all there any more would fail after everything is trained.
RunPlan plan_whole_runs(const CompareOptions& options, const Suite& suite) {
  RunPlan plan = plan_runs(request_of(options, suite));
  for (const PlannedRun& run : plan.runs) {
    if (run.state != RunState::kFinished) continue;
    if (const auto missing = missing_file_of_run(run.folder, run.config)) {
      throw InputError(missing->string() + ": is missing, although the run is finished (" +
                       run.name() + "); put it back, or remove the folder " + run.folder.string() +
                       " to train the run again");
    }
  }
  return plan;
}

std::vector<std::pair<std::string, std::string>> provenance_of(const Dataset& data) {
  std::vector<std::pair<std::string, std::string>> provenance = {
      {"data_fingerprint", data.fingerprint}, {"results_version", std::to_string(kResultsVersion)}};
  for (const auto& [name, value] : runtime_facts()) {
    if (name == "git_commit") provenance.emplace_back("commit", value);
    if (name == "cdsp" || name == "libtorch") provenance.emplace_back(name, value);
  }
  return provenance;
}

}  // namespace

RunPlan plan_comparison(const CompareOptions& options) {
  return plan_whole_runs(options, load_suite(options.suite, options.overrides));
}

std::optional<Comparison> compare_baselines(const CompareOptions& options,
                                            const RunLauncher& launcher, QueueObserver& observer) {
  const Suite suite = load_suite(options.suite, options.overrides);
  RunPlan plan = plan_whole_runs(options, suite);
  make_folder(options.out);
  if (!work_off(plan.runs, {options.jobs, options.stop}, launcher, observer)) return std::nullopt;

  Comparison comparison;
  comparison.suite = suite.name;
  comparison.seeds = options.seeds;
  comparison.arms = arms_of(suite);
  comparison.tasks = plan.data.task_names;
  comparison.labels = to_string(suite.arms.front().config.data.labels);
  add_lengths(plan.runs, comparison.arms);
  for (int64_t task = 0; task < plan.data.train.tasks(); ++task) {
    comparison.train_images.push_back(static_cast<double>(plan.data.train.task_size(task)));
    comparison.test_images.push_back(static_cast<double>(plan.data.test.task_size(task)));
  }
  for (const PlannedRun& run : plan.runs) {
    comparison.runs.push_back(read_compared_run(run.folder, run.arm, run.config));
  }
  add_gaps_to_baseline(comparison.runs);
  comparison.provenance = provenance_of(plan.data);

  const auto stopped = [&] { return options.stop != nullptr && options.stop->load() != 0; };
  try {
    comparison.linear = cached_linear_probe(
        options.out, plan.data, suite.arms.front().config.model.classes, [&](double share) {
          observer.on_yardstick(share);
          return !stopped();
        });
  } catch (const WorkError&) {
    if (stopped()) return std::nullopt;
    throw;
  }
  return comparison;
}

std::vector<fs::path> write_comparison(const Comparison& comparison, const fs::path& out) {
  std::vector<fs::path> files = {out / "comparison.json", out / "comparison.csv",
                                 out / "claims.json"};
  write_file_atomically(files[0], comparison_json(comparison, out).dump(1) + "\n");
  write_file_atomically(files[1], comparison_csv(comparison));
  write_file_atomically(files[2], claims_of(comparison).dump(1) + "\n");
  for (const fs::path& folder : write_experiments(comparison, out)) files.push_back(folder);
  return files;
}

}  // namespace cdsp
