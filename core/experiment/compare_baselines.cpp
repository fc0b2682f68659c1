#include "experiment/compare_baselines.h"

#include <cmath>
#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/csv.h"
#include "base/error.h"
#include "data/dataset.h"
#include "eval/routing_measures.h"
#include "experiment/blind_eval.h"
#include "experiment/run_directory.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kVariants[] = {"baseline", "blind", "cdsp"};
constexpr int64_t kLinearProbeEpochs = 20;

/// The three configs of a suite, with the overrides, checked to share their data.
std::vector<Config> load_suite(const CompareOptions& options) {
  if (!fs::is_directory(options.suite)) {
    throw InputError("--suite: " + options.suite.string() + " is not a folder of configs");
  }
  std::vector<Config> configs;
  for (const char* variant : kVariants) {
    const fs::path file = options.suite / (std::string(variant) + ".yaml");
    configs.push_back(load_config(file, options.overrides));
    if (std::string(to_string(configs.back().variant)) != variant) {
      throw InputError(file.string() + ": has variant: " + to_string(configs.back().variant) +
                       ", its name asks for " + variant);
    }
    const auto first = flatten(configs.front()), other = flatten(configs.back());
    for (size_t key = 0; key < first.size(); ++key) {
      const bool shapes_data = first[key].first.rfind("data.", 0) == 0 ||
                               first[key].first == "model.classes" ||
                               first[key].first == "model.patch_size";
      if (shapes_data && first[key] != other[key]) {
        throw InputError(file.string() + ": has " + other[key].first + ": " + other[key].second +
                         ", the baseline has " + first[key].second +
                         "; a comparison needs the same data");
      }
    }
  }
  return configs;
}

std::optional<double> task_value(const nlohmann::json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<double>();
}

/// Reads what a finished and blind-evaluated run left in its folder.
ComparedRun read_run(const fs::path& folder, const Config& config) {
  ComparedRun run;
  run.variant = to_string(config.variant);
  run.seed = config.seed;
  run.folder = folder;
  fs::path file = folder / "summary.json";
  try {
    const auto summary = nlohmann::json::parse(read_file(file));
    summary.at("train").at("accuracy").get_to(run.train_accuracy);
    summary.at("train").at("loss").get_to(run.train_loss);
    for (const auto& value : summary.at("train").at("task_accuracy")) {
      run.task_train_accuracy.push_back(
          task_value(value).value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    summary.at("test").at("accuracy").get_to(run.test_accuracy);
    summary.at("test").at("loss").get_to(run.test_loss);
    summary.at("test").at("task_accuracy").get_to(run.task_test_accuracy);

    file = folder / "blind_eval" / "blind_eval.json";
    const auto judged = nlohmann::json::parse(read_file(file));
    judged.at("protocols").at("informed").at("routing").get_to(run.informed_routing);
    judged.at("protocols").at("blind").at("routing").get_to(run.blind_routing);
    judged.at("protocols").at("blind").at("accuracy").get_to(run.task_blind_accuracy);
    judged.at("metrics").at("blind").at("accuracy").get_to(run.blind_accuracy);
    run.blind_accuracy_drop = run.test_accuracy - run.blind_accuracy;
  } catch (const nlohmann::json::exception& error) {
    throw InputError(file.string() + ": is not what a finished run writes: " + error.what());
  }
  run.separation_index = separation_index(run.informed_routing.front());
  run.blind_separation_index = separation_index(run.blind_routing.front());
  return run;
}

/// Whether a blind evaluation is of just this model and data, and has both protocols that a
/// comparison shows.
bool is_judged(const fs::path& file, const TrainedModel& model, const Dataset& data) {
  if (!fs::exists(file)) return false;
  const auto json = nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("protocols") || !json.contains("provenance"))
    return false;
  return json["protocols"].contains("informed") && json["protocols"].contains("blind") &&
         json["provenance"] == nlohmann::json(provenance_json(model, data));
}

/// Trains (or continues, or takes as it is) and blind-evaluates one run. False if asked to stop.
bool complete_run(const Config& config, const Dataset& data, const fs::path& folder,
                  const std::atomic<int>* stop, RunObserver& observer) {
  const RunState state = inspect_run(folder, config, data.fingerprint);
  const fs::path judged = folder / "blind_eval" / "blind_eval.json";
  if (state == RunState::kFinished) {
    observer.on_reuse(config, folder);
  } else {
    RunOptions run{folder, state == RunState::kUnfinished, stop};
    if (train_run(config, data, run, observer) == RunEnd::kInterrupted) return false;
  }
  TrainedModel model = model_of_run(folder);
  model.config.train.device = config.train.device;
  if (!is_judged(judged, model, data)) {
    const auto protocols = all_protocols(data.test.tasks());
    write_blind_eval(folder, model, data,
                     blind_evaluate(model, data, {protocols[0], protocols[1]}));
  }
  return stop == nullptr || stop->load() == 0;
}

nlohmann::json number_json(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json spread_json(const Spread& spread) {
  return {{"mean", number_json(spread.mean)},
          {"std", spread.std ? nlohmann::json(*spread.std) : nlohmann::json(nullptr)},
          {"seeds", spread.seeds}};
}

}  // namespace

std::vector<uint64_t> parse_seeds(const std::string& text) {
  const auto reject = [&] {
    throw InputError("--seeds: '" + text +
                     "' is not a list of seeds; allowed are numbers and ranges, as in 0,3,5..9");
  };
  const auto number = [&](const std::string& part) -> uint64_t {
    if (part.empty() || part.size() > 18 ||
        part.find_first_not_of("0123456789") != std::string::npos)
      reject();
    return std::stoull(part);
  };
  std::vector<uint64_t> seeds;
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    const size_t dots = part.find("..");
    const uint64_t first = number(part.substr(0, dots));
    const uint64_t last = dots == std::string::npos ? first : number(part.substr(dots + 2));
    if (last < first || last - first >= 10000) reject();
    for (uint64_t seed = first; seed <= last; ++seed) {
      for (const uint64_t earlier : seeds) {
        if (earlier == seed)
          throw InputError("--seeds: seed " + std::to_string(seed) + " stands there twice");
      }
      seeds.push_back(seed);
    }
  }
  if (seeds.empty() || text.back() == ',') reject();
  return seeds;
}

std::optional<Comparison> compare_baselines(const CompareOptions& options, RunObserver& observer) {
  std::vector<Config> suite = load_suite(options);
  const Dataset data = load_dataset(suite.front());
  std::vector<std::pair<Config, fs::path>> runs;
  for (Config& config : suite) {
    for (const uint64_t seed : options.seeds) {
      config.seed = seed;
      const fs::path folder =
          options.out / to_string(config.variant) / ("seed_" + std::to_string(seed));
      inspect_run(folder, config,
                  data.fingerprint);  // a run that does not fit is found before hours of work
      runs.emplace_back(config, folder);
    }
  }
  Comparison comparison;
  comparison.tasks = data.task_names;
  for (int64_t task = 0; task < data.train.tasks(); ++task) {
    comparison.train_images.push_back(static_cast<double>(data.train.task_size(task)));
    comparison.test_images.push_back(static_cast<double>(data.test.task_size(task)));
  }
  for (const auto& [config, folder] : runs) {
    if (!complete_run(config, data, folder, options.stop, observer)) return std::nullopt;
    comparison.runs.push_back(read_run(folder, config));
  }
  comparison.linear = linear_probe(data, suite.front().model.classes, kLinearProbeEpochs, 0);
  return comparison;
}

Spread spread_of(const std::vector<double>& values) {
  Spread spread;
  spread.seeds = static_cast<int64_t>(values.size());
  for (const double value : values) spread.mean += value / static_cast<double>(values.size());
  if (values.size() > 1) {
    double squares = 0.0;
    for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
    spread.std = std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
  return spread;
}

Spread spread_over_seeds(const Comparison& comparison, const std::string& variant,
                         double ComparedRun::*measure) {
  std::vector<double> values;
  for (const ComparedRun& run : comparison.runs) {
    if (run.variant == variant) values.push_back(run.*measure);
  }
  return spread_of(values);
}

Spread gap_to_baseline(const Comparison& comparison, const std::string& variant,
                       double ComparedRun::*measure) {
  std::vector<double> gaps;
  for (const ComparedRun& run : comparison.runs) {
    if (run.variant != variant) continue;
    for (const ComparedRun& baseline : comparison.runs) {
      if (baseline.variant == "baseline" && baseline.seed == run.seed)
        gaps.push_back(run.*measure - baseline.*measure);
    }
  }
  return spread_of(gaps);
}

nlohmann::ordered_json comparison_json(const Comparison& comparison) {
  nlohmann::ordered_json json;
  json["tasks"] = comparison.tasks;
  for (const char* variant : kVariants) {
    auto& entry = json["variants"][variant];
    entry["train_loss"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::train_loss));
    entry["test_loss"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::test_loss));
    entry["train_accuracy"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::train_accuracy));
    entry["test_accuracy"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::test_accuracy));
    entry["test_accuracy_gap_to_baseline"] =
        spread_json(gap_to_baseline(comparison, variant, &ComparedRun::test_accuracy));
    entry["blind_accuracy"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::blind_accuracy));
    entry["blind_accuracy_drop"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::blind_accuracy_drop));
    entry["separation_index"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::separation_index));
    entry["blind_separation_index"] =
        spread_json(spread_over_seeds(comparison, variant, &ComparedRun::blind_separation_index));
  }
  json["linear_softmax_on_pixels"] = {{"task_test_accuracy", comparison.linear.test_accuracy},
                                      {"task_train_accuracy", comparison.linear.train_accuracy}};
  for (const ComparedRun& run : comparison.runs) {
    json["runs"].push_back({{"variant", run.variant},
                            {"seed", run.seed},
                            {"folder", run.folder.string()},
                            {"train_loss", run.train_loss},
                            {"train_accuracy", run.train_accuracy},
                            {"test_loss", run.test_loss},
                            {"test_accuracy", run.test_accuracy},
                            {"blind_accuracy", run.blind_accuracy},
                            {"blind_accuracy_drop", run.blind_accuracy_drop},
                            {"separation_index", number_json(run.separation_index)},
                            {"blind_separation_index", number_json(run.blind_separation_index)},
                            {"task_train_accuracy", run.task_train_accuracy},
                            {"task_test_accuracy", run.task_test_accuracy},
                            {"task_blind_accuracy", run.task_blind_accuracy},
                            {"informed_routing", run.informed_routing},
                            {"blind_routing", run.blind_routing}});
  }
  return json;
}

std::string comparison_csv(const Comparison& comparison) {
  CsvRow header;
  for (const char* name : {"variant", "seed", "train_loss", "train_accuracy", "test_loss",
                           "test_accuracy", "gap_to_baseline", "blind_accuracy",
                           "blind_accuracy_drop", "separation_index", "blind_separation_index"}) {
    header.add(name);
  }
  for (const char* kind : {"train_accuracy_", "test_accuracy_", "blind_accuracy_"}) {
    for (const std::string& task : comparison.tasks) header.add(kind + task);
  }
  std::string text = header.text() + '\n';
  for (const ComparedRun& run : comparison.runs) {
    CsvRow row;
    double baseline_accuracy = std::numeric_limits<double>::quiet_NaN();
    for (const ComparedRun& other : comparison.runs) {
      if (other.variant == "baseline" && other.seed == run.seed)
        baseline_accuracy = other.test_accuracy;
    }
    row.add(run.variant)
        .add(static_cast<int64_t>(run.seed))
        .add(run.train_loss)
        .add(run.train_accuracy);
    row.add(run.test_loss).add(run.test_accuracy).add(run.test_accuracy - baseline_accuracy);
    row.add(run.blind_accuracy).add(run.blind_accuracy_drop);
    row.add(run.separation_index).add(run.blind_separation_index);
    row.add(run.task_train_accuracy).add(run.task_test_accuracy).add(run.task_blind_accuracy);
    text += row.text() + '\n';
  }
  return text;
}

}  // namespace cdsp
