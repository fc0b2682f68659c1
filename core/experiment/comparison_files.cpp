#include "experiment/comparison_files.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/csv.h"
#include "base/json_number.h"
#include "base/json_text.h"
#include "eval/routing_measures.h"
#include "experiment/claims.h"
#include "experiment/published_conditions.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr int kFormat = 2;
constexpr int64_t kLinearProbeEpochs = 20;
constexpr uint64_t kLinearProbeSeed = 0;

/// The folder as seen from `out` if it lies below, else as it is.
std::string folder_text(const fs::path& folder, const fs::path& out) {
  const fs::path relative = folder.lexically_normal().lexically_relative(out.lexically_normal());
  const bool below = !relative.empty() && *relative.begin() != "..";
  return (below ? relative : folder).generic_string();
}

nlohmann::json numbers_json(const std::vector<double>& values) {
  nlohmann::json json = nlohmann::json::array();
  for (const double value : values) json.push_back(number_json(value));
  return json;
}

/// H(task | expert) in bits, [layer][expert].
nlohmann::json specialisations_json(const RoutingTable& routing) {
  nlohmann::json json = nlohmann::json::array();
  for (const RoutingRows& layer : routing)
    json.push_back(numbers_json(task_entropy_of_experts(layer)));
  return json;
}

void add_specialisations(std::string& text, const ComparedRun& run, const char* protocol,
                         const RoutingTable& routing) {
  for (size_t layer = 0; layer < routing.size(); ++layer) {
    const std::vector<double> entropies = task_entropy_of_experts(routing[layer]);
    for (size_t expert = 0; expert < entropies.size(); ++expert) {
      double load = 0.0;
      for (const auto& task : routing[layer])
        load += task[expert] / static_cast<double>(routing[layer].size());
      CsvRow row;
      row.add(run.arm).add(std::to_string(run.seed)).add(protocol);
      row.add(static_cast<int64_t>(layer)).add(static_cast<int64_t>(expert)).add(load);
      text += row.add(entropies[expert]).text() + '\n';
    }
  }
}

nlohmann::ordered_json published_conditions_json() {
  const PublishedConditions& published = kPublishedConditions;
  return {{"labels", published.labels},
          {"train_images_per_task", published.images_per_task},
          {"epochs", published.epochs},
          {"steps", {published.least_steps, published.most_steps}},
          {"seeds", published.seeds}};
}

nlohmann::ordered_json arm_json(const Comparison& comparison, const ComparedArm& arm,
                                const std::vector<std::string>& measures) {
  nlohmann::ordered_json json;
  json["variant"] = arm.variant;
  json["steps"] = arm.steps;
  json["epochs"] = arm.epochs;
  json["batch_size"] = arm.batch_size;
  json["differs_from_cdsp"] = nlohmann::ordered_json::object();
  for (const auto& [key, value] : arm.differs_from_cdsp) json["differs_from_cdsp"][key] = value;
  for (const std::string& measure : measures) {
    const Spread spread = spread_over_seeds(comparison.runs, arm.name, measure);
    if (spread.seeds > 0) json["measures"][measure] = spread_json(spread);
  }
  return json;
}

}  // namespace

nlohmann::ordered_json spread_json(const Spread& spread) {
  nlohmann::ordered_json json;
  json["mean"] = number_json(spread.mean);
  json["std"] = spread.std ? number_json(*spread.std) : nlohmann::json(nullptr);
  json["interval"] = nullptr;
  if (spread.interval) json["interval"] = {spread.interval->low, spread.interval->high};
  json["seeds"] = spread.seeds;
  return json;
}

std::vector<std::string> measure_names(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> names;
  for (const ComparedRun& run : runs) {
    for (const auto& measure : run.measures.all()) {
      if (std::find(names.begin(), names.end(), measure.first) == names.end())
        names.push_back(measure.first);
    }
  }
  return names;
}

nlohmann::ordered_json run_json(const ComparedRun& run, const fs::path& out) {
  nlohmann::ordered_json json;
  json["arm"] = run.arm;
  json["variant"] = run.variant;
  json["seed"] = run.seed;
  json["folder"] = folder_text(run.folder, out);
  for (const auto& [name, value] : run.measures.all()) json[name] = number_json(value);
  json["task_train_accuracy"] = numbers_json(run.task_train_accuracy);
  json["task_test_accuracy"] = numbers_json(run.task_test_accuracy);
  json["task_blind_accuracy"] = numbers_json(run.task_blind_accuracy);
  json["informed_routing"] = run.informed_routing;
  json["blind_routing"] = run.blind_routing;
  json["specialisation_of_expert"] = specialisations_json(run.informed_routing);
  json["blind_specialisation_of_expert"] = specialisations_json(run.blind_routing);
  json["made_by"] = {{"cdsp", run.maker.cdsp},
                     {"commit", run.maker.commit},
                     {"libtorch", run.maker.libtorch},
                     {"device", run.maker.device},
                     {"engine", run.maker.engine}};
  return json;
}

nlohmann::ordered_json comparison_json(const Comparison& comparison, const fs::path& out) {
  nlohmann::ordered_json json;
  json["format"] = kFormat;
  json["suite"] = comparison.suite;
  json["tasks"] = comparison.tasks;
  json["seeds"] = comparison.seeds;
  json["train_images"] = comparison.train_images;
  json["test_images"] = comparison.test_images;
  json["labels"] = comparison.labels;
  const auto measures = measure_names(comparison.runs);
  for (const ComparedArm& arm : comparison.arms) {
    json["order"].push_back(arm.name);
    json["arms"][arm.name] = arm_json(comparison, arm, measures);
  }
  for (const PublishedFigures& figures : published_figures(comparison.tasks)) {
    json["published"][figures.arm] = {{"loss", figures.loss}, {"accuracy", figures.accuracy}};
  }
  if (json.contains("published")) json["published_conditions"] = published_conditions_json();
  // Its training accuracy is that of the final weights, an arm's that of the steps of its learning.
  json["linear_softmax_on_pixels"] = {{"train_accuracy_of", "final weights"},
                                      {"task_test_accuracy", comparison.linear.test_accuracy},
                                      {"task_train_accuracy", comparison.linear.train_accuracy}};
  for (const ComparedRun& run : comparison.runs) json["runs"].push_back(run_json(run, out));
  for (const auto& [name, value] : comparison.provenance) json["provenance"][name] = value;
  json["notes"] = comparison.notes;
  return json;
}

std::string comparison_csv(const Comparison& comparison) {
  const auto measures = measure_names(comparison.runs);
  CsvRow header;
  header.add("arm").add("variant").add("seed");
  for (const std::string& measure : measures) header.add(measure);
  for (const char* kind : {"train_accuracy_", "test_accuracy_", "blind_accuracy_"}) {
    for (const std::string& task : comparison.tasks) header.add(kind + task);
  }
  std::string text = header.text() + '\n';
  for (const ComparedRun& run : comparison.runs) {
    CsvRow row;
    row.add(run.arm).add(run.variant).add(std::to_string(run.seed));
    for (const std::string& measure : measures) row.add(run.measures.get(measure));
    row.add(run.task_train_accuracy).add(run.task_test_accuracy).add(run.task_blind_accuracy);
    text += row.text() + '\n';
  }
  return text;
}

std::string specialisation_csv(const Comparison& comparison) {
  std::string text = "arm,seed,protocol,layer,expert,load,specialisation\n";
  for (const ComparedRun& run : comparison.runs) {
    add_specialisations(text, run, "informed", run.informed_routing);
    add_specialisations(text, run, "blind", run.blind_routing);
  }
  return text;
}

nlohmann::ordered_json claims_of(const Comparison& comparison) {
  std::vector<ClaimRun> runs;
  for (const ComparedRun& run : comparison.runs) {
    runs.push_back(read_claim_run(run.folder, run.arm));
    if (!run.untrained) continue;
    ClaimStart& start = runs.back().start;
    start.alpha_sparsity = run.untrained->alpha_sparsity;
    if (run.untrained->informed_routing.empty()) continue;
    start.informed_routing = run.untrained->informed_routing.front();
    start.blind_routing = run.untrained->blind_routing.front();
  }
  return claims_json(judge_claims(runs, comparison.controls.generic_string()));
}

namespace {

nlohmann::ordered_json probe_made_of(const Dataset& data, int64_t classes) {
  return {{"data_fingerprint", data.fingerprint},
          {"classes", classes},
          {"epochs", kLinearProbeEpochs},
          {"seed", kLinearProbeSeed}};
}

std::optional<LinearProbeResult> kept_linear_probe(const fs::path& file, const Dataset& data,
                                                   int64_t classes) {
  if (!fs::exists(file)) return std::nullopt;
  const auto kept = nlohmann::ordered_json::parse(read_file(file), nullptr,
                                                  /*allow_exceptions=*/false);
  if (!kept.is_object() ||
      kept.value("made_of", nlohmann::ordered_json()) != probe_made_of(data, classes))
    return std::nullopt;
  try {
    LinearProbeResult result;
    kept.at("task_test_accuracy").get_to(result.test_accuracy);
    kept.at("task_train_accuracy").get_to(result.train_accuracy);
    return result;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // Not what is written below: made anew.
  }
}

}  // namespace

double estimated_probe_seconds(const fs::path& out, const Dataset& data, int64_t classes) {
  if (kept_linear_probe(out / "linear.json", data, classes)) return 0.0;
  // Measured on one core of 2023: forward, backward and the weights' update.
  constexpr double kSecondsPerProduct = 2e-9;
  return kSecondsPerProduct * static_cast<double>(data.train.size() * kLinearProbeEpochs *
                                                  data.train.rows * data.train.cols * classes);
}

LinearProbeResult cached_linear_probe(const fs::path& out, const Dataset& data, int64_t classes,
                                      const std::function<bool(double)>& keep_going) {
  const fs::path file = out / "linear.json";
  if (auto kept = kept_linear_probe(file, data, classes)) return *kept;
  LinearProbeResult result =
      linear_probe(data, classes, kLinearProbeEpochs, kLinearProbeSeed, keep_going);
  nlohmann::ordered_json json;
  json["made_of"] = probe_made_of(data, classes);
  json["tasks"] = data.task_names;
  json["task_test_accuracy"] = result.test_accuracy;
  json["task_train_accuracy"] = result.train_accuracy;
  write_file_atomically(file, json_text(json, 1) + "\n");
  return result;
}

}  // namespace cdsp
