#include "report/data/comparison_data.h"

#include <cstdlib>
#include <set>

#include <nlohmann/json.hpp>

#include "report/data/json_file.h"

namespace cdsp::page {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

MeasuredData read_measure(const Json& json) {
  MeasuredData measured;
  measured.mean = number_of(json, "mean");
  measured.std = number_of(json, "std");
  measured.interval = interval_of(json, "interval");
  measured.seeds = json.value("seeds", int64_t{0});
  return measured;
}

ArmData read_arm(const std::string& name, const Json& json) {
  ArmData arm;
  arm.name = name;
  arm.variant = json.at("variant").get<std::string>();
  arm.steps = json.value("steps", int64_t{0});
  arm.epochs = json.value("epochs", int64_t{0});
  if (json.contains("differs_from_cdsp")) {
    for (const auto& [key, value] : json["differs_from_cdsp"].items()) {
      arm.differs_from_cdsp.emplace_back(key, shown(value));
    }
  }
  for (const auto& [measure, values] : json.at("measures").items()) {
    arm.measures[measure] = read_measure(values);
  }
  return arm;
}

void read_arms(const Json& json, ComparisonData& comparison) {
  const Json& arms = json.at("arms");
  std::set<std::string> seen;
  for (const Json& name : json.value("order", Json::array())) {
    const auto text = name.get<std::string>();
    if (seen.insert(text).second) comparison.arms.push_back(read_arm(text, arms.at(text)));
  }
  for (const auto& [name, value] : arms.items()) {
    if (seen.insert(name).second) comparison.arms.push_back(read_arm(name, value));
  }
}

/// Where a run lies: as comparison.json says, seen from the comparison's folder or the working
/// directory, or where a comparison moved as a whole has it now.
fs::path folder_of_run(const fs::path& out, const Json& run, const std::string& arm) {
  const fs::path said = run.value("folder", std::string());
  fs::path usual = out / arm / ("seed_" + std::to_string(run.at("seed").get<uint64_t>()));
  for (const fs::path& place : {out / said, said, usual}) {
    if (!place.empty() && fs::exists(place / "config.yaml")) return place;
  }
  return usual;
}

RunData read_compared_run(const fs::path& out, const Json& json,
                          const std::vector<std::string>& tasks) {
  const auto arm = json.at("arm").get<std::string>();
  const fs::path folder = folder_of_run(out, json, arm);
  RunData run;
  if (fs::exists(folder / "config.yaml")) {
    run = read_run(folder);
  } else {
    run.folder = folder;
    run.config.emplace_back("variant", json.at("variant").get<std::string>());
    run.missing.emplace_back("its folder is not there, so its curves and tables are left out");
  }
  run.arm = arm;
  run.seed = json.at("seed").get<uint64_t>();
  if (run.tasks.empty()) run.tasks = tasks;
  // The comparison's own evaluation is the one that its tables were made from.
  for (const auto& [name, layers] : {std::make_pair("informed_routing", &run.informed),
                                     std::make_pair("blind_routing", &run.blind)}) {
    if (json.contains(name) && !json[name].is_null()) *layers = layers_of(json[name]);
  }
  for (const auto& [name, value] : json.items()) {
    if (value.is_number() && name != "seed") run.results[name] = value.get<double>();
  }
  return run;
}

/// What comparison.json did not say in earlier versions, from the runs themselves.
void complete_from_runs(ComparisonData& comparison, const std::vector<RunData>& runs) {
  for (const RunData& run : runs) {
    if (comparison.labels.empty()) comparison.labels = run.config_value("data.labels");
    for (ArmData& arm : comparison.arms) {
      if (arm.name != run.arm || arm.steps != 0) continue;
      for (const auto& [key, value] : run.provenance) {
        if (key == "steps") arm.steps = std::atoll(value.c_str());
        if (key == "epochs") arm.epochs = std::atoll(value.c_str());
      }
    }
  }
}

}  // namespace

const ArmData* ComparisonData::arm(const std::string& name) const {
  for (const ArmData& candidate : arms) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

ComparisonData read_comparison(const fs::path& folder, ComparedRuns& runs) {
  ComparisonData comparison;
  read_json_file(folder / "comparison.json", [&](const Json& json) {
    comparison.suite = text_of(json, "suite");
    comparison.tasks = json.at("tasks").get<std::vector<std::string>>();
    comparison.seeds = json.value("seeds", std::vector<uint64_t>());
    comparison.labels = text_of(json, "labels");
    comparison.train_images = numbers_of(json, "train_images");
    comparison.test_images = numbers_of(json, "test_images");
    read_arms(json, comparison);
    if (json.contains("published")) {
      for (const auto& [name, value] : json["published"].items()) {
        if (!value.is_object()) continue;
        comparison.published[name] = {number_of(value, "loss"), number_of(value, "accuracy")};
      }
    }
    if (json.contains("linear_softmax_on_pixels")) {
      const Json& linear = json["linear_softmax_on_pixels"];
      comparison.linear_train = numbers_of(linear, "task_train_accuracy");
      comparison.linear_test = numbers_of(linear, "task_test_accuracy");
    }
    if (json.contains("provenance")) {
      for (const auto& [key, value] : json["provenance"].items()) {
        comparison.provenance.emplace_back(key, shown(value));
      }
    }
    for (const Json& run : json.at("runs")) {
      runs.runs.push_back(read_compared_run(folder, run, comparison.tasks));
      runs.accuracies.push_back({numbers_of(run, "task_train_accuracy"),
                                 numbers_of(run, "task_test_accuracy"),
                                 numbers_of(run, "task_blind_accuracy")});
    }
  });
  complete_from_runs(comparison, runs.runs);
  return comparison;
}

}  // namespace cdsp::page
