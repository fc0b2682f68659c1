#include "experiment/run_plan.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/sampler.h"
#include "experiment/blind_eval.h"
#include "experiment/fingerprint.h"
#include "experiment/run_tables.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr int kDeepestRun = 3;  // FROM/anything/ARM/seed_S
/// An image costs a step about three times what it costs an evaluation: there is no way back.
constexpr double kStepOverEvaluation = 3.0;
constexpr double kProtocolsAtEnd = 2.0;  // told and not told
constexpr uint64_t kMostSeedsOfRange = 10000;
constexpr double kSecondsOfPace = 20.0;  // a pace seen for less says little

/// A run that --from names or holds.
struct GivenRun {
  fs::path folder;
  Config config;
  std::optional<RunRecord> record;
  bool named = false;  // itself, not a folder above it
  bool used = false;
};

void add_given(const fs::path& folder, int levels, bool named, std::vector<GivenRun>& given) {
  if (fs::exists(folder / "config.yaml")) {
    given.push_back({folder, load_config(folder / "config.yaml"), read_run_record(folder), named});
    return;
  }
  if (levels == 0) return;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& below : folders) add_given(below, levels - 1, false, given);
}

std::vector<GivenRun> given_runs(const std::vector<fs::path>& from) {
  std::vector<GivenRun> given;
  for (const fs::path& folder : from) {
    if (!fs::is_directory(folder))
      throw InputError("--from: " + folder.string() + " is not a folder");
    const size_t before = given.size();
    add_given(folder, kDeepestRun, true, given);
    if (given.size() == before) throw InputError("--from: " + folder.string() + " holds no run");
  }
  return given;
}

bool is_finished(const GivenRun& run) { return run.record && run.record->status == "finished"; }

/// The planned run that a given one would have to be: of the same arm and seed by its path, or, for
/// one that was named, the planned run with its seed that differs in the fewest keys.
const PlannedRun* counterpart(const GivenRun& given, const std::vector<PlannedRun>& runs) {
  const PlannedRun* nearest = nullptr;
  size_t fewest = 0;
  for (const PlannedRun& run : runs) {
    const bool same_path = given.folder.filename() == "seed_" + std::to_string(run.config.seed) &&
                           given.folder.has_parent_path() &&
                           given.folder.parent_path().filename() == run.arm;
    if (same_path) return &run;
    if (!given.named || given.config.seed != run.config.seed) continue;
    const size_t differing = differing_keys(given.config, run.config).size();
    if (nearest != nullptr && differing >= fewest) continue;
    nearest = &run;
    fewest = differing;
  }
  return nearest;
}

/// Throws for a given run that was not used, unless it merely is not needed.
void explain_unused(const GivenRun& given, const std::vector<PlannedRun>& runs,
                    const std::string& data_fingerprint) {
  const PlannedRun* wanted = counterpart(given, runs);
  const std::string place = "--from: " + given.folder.string() + ": ";
  if (wanted == nullptr) {
    if (!given.named) return;
    throw InputError(place + "its seed " + std::to_string(given.config.seed) +
                     " is not among the seeds asked for");
  }
  const auto mismatch =
      mismatch_of_run(given.config, given.record, wanted->config, data_fingerprint);
  if (mismatch) throw InputError(place + "holds a run " + *mismatch + " (" + wanted->name() + ")");
  if (given.named && !is_finished(given)) {
    throw InputError(place + "the run is not finished (" +
                     (given.record ? given.record->status : std::string("no run.json")) + ")");
  }
}

void use_given_runs(std::vector<PlannedRun>& runs, std::vector<GivenRun>& given,
                    const std::string& data_fingerprint) {
  for (PlannedRun& run : runs) {
    if (run.state != RunState::kAbsent) continue;
    for (GivenRun& candidate : given) {
      if (!is_finished(candidate)) continue;
      if (mismatch_of_run(candidate.config, candidate.record, run.config, data_fingerprint))
        continue;
      run.folder = candidate.folder;
      run.state = RunState::kFinished;
      candidate.used = true;
      break;
    }
  }
  for (const GivenRun& candidate : given) {
    if (!candidate.used) explain_unused(candidate, runs, data_fingerprint);
  }
}

/// Who made a run, and the words for it.
struct Made {
  std::string what;
  RunMaker maker;
};

std::vector<Made> makers_of(const std::vector<PlannedRun>& runs) {
  std::vector<Made> makers;
  for (const PlannedRun& run : runs) {
    if (run.maker) makers.push_back({run.folder.string() + " holds a run", *run.maker});
    if (run.state == RunState::kFinished) continue;
    RunMaker here = this_program();
    here.device = resolve_device(run.config.train.device).is_cpu() ? "cpu" : "cuda";
    makers.push_back({run.name() + " is to be trained", here});
  }
  return makers;
}

void reject_mixed_makers(const std::vector<PlannedRun>& runs) {
  const std::vector<Made> makers = makers_of(runs);
  struct Fact {
    const char* how;
    std::string RunMaker::*value;
  };
  for (const Fact& fact : {Fact{"by cdsp ", &RunMaker::cdsp},
                           {"with LibTorch ", &RunMaker::libtorch},
                           {"on ", &RunMaker::device}}) {
    const Made* first = nullptr;
    for (const Made& made : makers) {
      const std::string& value = made.maker.*fact.value;
      if (value.empty()) continue;
      if (first == nullptr) first = &made;
      if (value == first->maker.*fact.value) continue;
      throw InputError(made.what + " " + fact.how + value + ", " + first->what + " " + fact.how +
                       first->maker.*fact.value +
                       "; versions and kinds of device are never mixed: choose another --out, or "
                       "remove one of them");
    }
  }
}

int64_t steps_of(const Config& config, int64_t epoch_size) {
  const int64_t batch = config.train.batch_size;
  const int64_t steps = (epoch_size + batch - 1) / batch * config.train.epochs;
  return config.train.max_steps > 0 ? std::min(steps, config.train.max_steps) : steps;
}

/// Finished runs whose files are not all there any more would fail after everything is trained.
void require_whole_runs(const std::vector<PlannedRun>& runs) {
  for (const PlannedRun& run : runs) {
    if (run.state != RunState::kFinished) continue;
    if (const auto missing = missing_file_of_run(run.folder, run.config)) {
      throw InputError(missing->string() + ": is missing, although the run is finished (" +
                       run.name() + "); put it back, or remove the folder " + run.folder.string() +
                       " to train the run again");
    }
  }
}

}  // namespace

const char* PlannedRun::action() const {
  if (state == RunState::kAbsent) return "train";
  if (state == RunState::kUnfinished) return "continue";
  return judged ? "reuse" : "evaluate";
}

std::vector<uint64_t> parse_seeds(const std::string& text) {
  const auto reject = [&] {
    throw InputError(
        "--seeds: '" + text + "' is not a list of seeds; allowed are numbers from 0 to " +
        std::to_string(std::numeric_limits<uint64_t>::max()) + " and ranges of at most " +
        std::to_string(kMostSeedsOfRange) + " seeds, as in 0,3,5..9");
  };
  const auto number = [&](const std::string& part) {
    uint64_t seed = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), seed);
    if (code != std::errc() || end != part.data() + part.size()) reject();
    return seed;
  };
  std::vector<uint64_t> seeds;
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    const size_t dots = part.find("..");
    const uint64_t first = number(part.substr(0, dots));
    const uint64_t last = dots == std::string::npos ? first : number(part.substr(dots + 2));
    if (last < first || last - first >= kMostSeedsOfRange) reject();
    for (uint64_t i = 0; i <= last - first; ++i) {
      const uint64_t seed = first + i;
      if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end())
        throw InputError("--seeds: seed " + std::to_string(seed) + " stands there twice");
      seeds.push_back(seed);
    }
  }
  if (seeds.empty() || text.back() == ',') reject();
  return seeds;
}

void make_folder(const fs::path& out) {
  std::error_code code;
  fs::create_directories(out, code);
  if (code || !fs::is_directory(out))
    throw InputError("--out: " + out.string() + ": cannot be created" +
                     (code ? ": " + code.message() : ""));
}

bool is_judged(const fs::path& run, const Dataset& data) {
  const fs::path file = run / "blind_eval" / "blind_eval.json";
  if (!fs::exists(file)) return false;
  const auto json = nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("protocols") || !json.contains("provenance"))
    return false;
  const auto compared_with = nlohmann::json::json_pointer("/metrics/blind/compared_with");
  return json["protocols"].contains("informed") && json["protocols"].contains("blind") &&
         json.value(compared_with, "") == "informed" &&
         json["provenance"] == nlohmann::json(provenance_json(model_of_run(run), data));
}

RunPlan plan_runs(const RunRequest& request) {
  require_same_data(request.arms);
  RunPlan plan;
  plan.data = load_dataset(request.arms.front().config);
  for (const SuiteArm& arm : request.arms) {
    require_possible_threads(arm.config.train.threads);
    const int64_t epoch_size = Sampler(arm.config, plan.data.train).epoch_size();
    const int64_t batch = arm.config.train.batch_size;
    for (const uint64_t seed : request.seeds) {
      PlannedRun run;
      run.arm = arm.name;
      run.config = arm.config;
      run.config.seed = seed;
      run.folder = request.out / arm.name / ("seed_" + std::to_string(seed));
      run.state = inspect_run(run.folder, run.config, plan.data.fingerprint);
      run.total_steps = steps_of(run.config, epoch_size);
      run.steps_per_epoch = (epoch_size + batch - 1) / batch;
      run.evaluation_steps = static_cast<double>(plan.data.test.size()) /
                             (kStepOverEvaluation * static_cast<double>(batch));
      plan.runs.push_back(std::move(run));
    }
  }
  std::vector<GivenRun> given = given_runs(request.from);
  use_given_runs(plan.runs, given, plan.data.fingerprint);
  for (PlannedRun& run : plan.runs) {
    if (run.state == RunState::kAbsent) continue;
    if (const auto record = read_run_record(run.folder)) {
      run.steps_done = record->steps;
      run.wall_seconds = record->wall_seconds;
      run.maker = record->maker;
    }
    run.judged = run.state == RunState::kFinished && is_judged(run.folder, plan.data);
  }
  reject_mixed_makers(plan.runs);
  return plan;
}

RunPlan plan_whole_runs(const RunRequest& request) {
  RunPlan plan = plan_runs(request);
  require_whole_runs(plan.runs);
  return plan;
}

std::optional<double> seconds_per_step(const std::vector<PlannedRun>& runs,
                                       const std::string& arm) {
  double own_seconds = 0, own_steps = 0, all_seconds = 0, all_steps = 0;
  for (const PlannedRun& run : runs) {
    all_seconds += run.wall_seconds;
    all_steps += static_cast<double>(run.steps_done);
    if (run.arm != arm) continue;
    own_seconds += run.wall_seconds;
    own_steps += static_cast<double>(run.steps_done);
  }
  if (own_steps > 0 && own_seconds > 0) return own_seconds / own_steps;
  if (all_steps > 0 && all_seconds > 0) return all_seconds / all_steps;
  return std::nullopt;
}

std::optional<double> pace_seen(const PlannedRun& run, int64_t first, int64_t last,
                                double seconds) {
  if (last <= first || seconds < kSecondsOfPace) return std::nullopt;
  const auto steps = static_cast<double>(last - first);
  if (run.steps_per_epoch <= 0) return seconds / steps;
  const int64_t whole_epochs = last / run.steps_per_epoch - first / run.steps_per_epoch;
  const auto epochs = static_cast<double>(whole_epochs);
  const double share = run.evaluation_steps / static_cast<double>(run.steps_per_epoch);
  return seconds / (steps + epochs * run.evaluation_steps) * (1.0 + share);
}

std::optional<double> estimated_seconds(const std::vector<PlannedRun>& runs, int64_t jobs,
                                        std::optional<double> evaluation_seconds) {
  double total = 0, longest = 0;
  for (const PlannedRun& run : runs) {
    if (run.complete()) continue;
    const auto step = seconds_per_step(runs, run.arm);
    if (!step) return std::nullopt;
    double seconds = evaluation_seconds.value_or(*step * kProtocolsAtEnd * run.evaluation_steps);
    if (run.state != RunState::kFinished)
      seconds += *step * static_cast<double>(run.total_steps - run.steps_done);
    total += seconds;
    longest = std::max(longest, seconds);
  }
  return std::max(longest, total / static_cast<double>(jobs));
}

}  // namespace cdsp
