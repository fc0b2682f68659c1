#include "experiment/compare_baselines.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_text.h"
#include "experiment/claims.h"
#include "experiment/comparison_files.h"
#include "experiment/experiments.h"
#include "experiment/fingerprint.h"
#include "experiment/provenance.h"
#include "experiment/run_tables.h"

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

Suite suite_of(const CompareOptions& options) {
  return load_suite(options.suite, options.overrides, options.arms);
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

/// A suite that has every arm of the claims, for what this comparison cannot measure.
fs::path controls_for(const CompareOptions& options) {
  fs::path file = suite_with_controls(options.suite);
  if (file.empty()) return {};
  try {
    std::vector<std::string> names;
    for (const SuiteArm& arm : load_suite(file, options.overrides).arms) names.push_back(arm.name);
    if (claims_that_lack_an_arm(names).empty()) return file;
  } catch (const InputError&) {
    // Of no use as advice then.
  }
  return {};
}

std::vector<InitialNetwork> networks_of(const std::vector<PlannedRun>& runs) {
  std::vector<InitialNetwork> networks;
  for (const PlannedRun& run : runs) networks.push_back({run.arm, run.config});
  return networks;
}

/// Seconds for what comes after the runs, by the runs timed so far.
std::function<double(const std::vector<PlannedRun>&)> seconds_after(const CompareOptions& options,
                                                                    const RunPlan& plan) {
  const PlannedRun& first = plan.runs.front();
  const double probe = estimated_probe_seconds(options.out, plan.data, first.config.model.classes);
  const auto networks =
      static_cast<double>(untrained_networks_to_do(options.out, plan.data, networks_of(plan.runs)));
  constexpr double kProtocols = 2.0;
  const double steps = kProtocols * networks * first.evaluation_steps;
  return [probe, steps, arm = first.arm](const std::vector<PlannedRun>& runs) {
    return probe + steps * seconds_per_step(runs, arm).value_or(0.0);
  };
}

/// What is done in this process once the runs are there. False if asked to stop.
bool add_yardsticks(const CompareOptions& options, const RunPlan& plan, Comparison& comparison,
                    QueueObserver& observer) {
  const auto stopped = [&] { return options.stop != nullptr && options.stop->load() != 0; };
  try {
    const auto untrained = cached_untrained_networks(options.out, plan.data, networks_of(plan.runs),
                                                     [&](double share) {
                                                       observer.on_untrained(share);
                                                       return !stopped();
                                                     });
    for (size_t i = 0; i < untrained.size(); ++i) add_untrained(comparison.runs[i], untrained[i]);
    comparison.linear = cached_linear_probe(
        options.out, plan.data, plan.runs.front().config.model.classes, [&](double share) {
          observer.on_yardstick(share);
          return !stopped();
        });
  } catch (const WorkError&) {
    if (stopped()) return false;
    throw;
  }
  return true;
}

void append(std::vector<std::string>& notes, const std::vector<std::string>& more) {
  notes.insert(notes.end(), more.begin(), more.end());
}

}  // namespace

RunPlan plan_comparison(const CompareOptions& options) {
  return plan_whole_runs(request_of(options, suite_of(options)));
}

std::optional<Comparison> compare_baselines(const CompareOptions& options,
                                            const RunLauncher& launcher, QueueObserver& observer) {
  const Suite suite = suite_of(options);
  RunPlan plan = plan_whole_runs(request_of(options, suite));
  make_folder(options.out);
  const QueueOptions queue{options.jobs, options.stop, seconds_after(options, plan)};
  if (!work_off(plan.runs, queue, launcher, observer)) return std::nullopt;

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
  comparison.provenance = provenance_of(plan.data.fingerprint, comparison.runs);
  append(comparison.notes, notes_on_makers(comparison.runs));
  append(comparison.notes, notes_on_other_runs(comparison.runs, options.out));
  comparison.controls = controls_for(options);
  if (!add_yardsticks(options, plan, comparison, observer)) return std::nullopt;
  return comparison;
}

std::vector<fs::path> write_comparison(const Comparison& comparison, const fs::path& out) {
  std::vector<fs::path> files = {out / "comparison.json", out / "comparison.csv",
                                 out / "specialisation.csv", out / "claims.json"};
  write_file_atomically(files[0], json_text(comparison_json(comparison, out), 1) + "\n");
  write_file_atomically(files[1], comparison_csv(comparison));
  write_file_atomically(files[2], specialisation_csv(comparison));
  write_file_atomically(files[3], json_text(claims_of(comparison), 1) + "\n");
  for (const fs::path& folder : write_experiments(comparison, out)) files.push_back(folder);
  return files;
}

}  // namespace cdsp
