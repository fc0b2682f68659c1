#include "report/data/ablation_data.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "report/data/json_file.h"

namespace cdsp::page {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

/// A measure's figures in the order of `values`; undefined where the file has none.
std::vector<MeasuredData> read_measures(const Json& entries,
                                        const std::vector<std::string>& values) {
  MeasuredData unknown;
  unknown.mean = unknown.std = std::numeric_limits<double>::quiet_NaN();
  std::vector<MeasuredData> measures(values.size(), unknown);
  for (const Json& entry : entries) {
    const std::string value = shown(entry.at("value"));
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != value) continue;
      measures[i].mean = number_of(entry, "mean");
      measures[i].std = number_of(entry, "std");
      measures[i].interval = interval_of(entry, "interval");
      measures[i].seeds = entry.value("seeds", int64_t{0});
    }
  }
  return measures;
}

RunData read_ablation_run(const fs::path& out, const std::string& key, const Json& json) {
  const std::string arm = key + "=" + shown(json.at("value"));
  const auto seed = json.at("seed").get<uint64_t>();
  const fs::path said = json.value("folder", std::string());
  const fs::path usual = out / arm / ("seed_" + std::to_string(seed));
  RunData run;
  run.folder = usual;
  bool found = false;
  for (const fs::path& place : {out / said, said, usual}) {
    if (found || place.empty() || !fs::exists(place / "config.yaml")) continue;
    run = read_run(place);
    found = true;
  }
  if (!found) {
    run.missing.emplace_back("its folder is not there, so its curves and tables are left out");
  }
  run.arm = arm;
  run.seed = seed;
  return run;
}

}  // namespace

AblationData read_ablation(const fs::path& folder, std::vector<RunData>& runs) {
  AblationData ablation;
  read_json_file(folder / "ablation.json", [&](const Json& json) {
    ablation.key = json.at("key").get<std::string>();
    ablation.config = text_of(json, "config");
    for (const Json& value : json.at("values")) ablation.values.push_back(shown(value));
    ablation.tasks = json.value("tasks", std::vector<std::string>());
    ablation.seeds = json.value("seeds", std::vector<uint64_t>());
    for (const auto& [name, entries] : json.at("measures").items()) {
      ablation.measures.emplace_back(name, read_measures(entries, ablation.values));
    }
    for (const Json& run : json.at("runs")) {
      runs.push_back(read_ablation_run(folder, ablation.key, run));
    }
  });
  return ablation;
}

}  // namespace cdsp::page
