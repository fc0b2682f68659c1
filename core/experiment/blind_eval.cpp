#include "experiment/blind_eval.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_text.h"
#include "eval/routing_measures.h"
#include "experiment/fingerprint.h"
#include "experiment/run_directory.h"
#include "experiment/run_files.h"
#include "model/weights.h"
#include "train/checkpoint.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// How `blind` differs from `informed`, task by task, in one layer's tables.
nlohmann::json shifts_json(const RoutingTable& from, const RoutingTable& to) {
  nlohmann::json layers = nlohmann::json::array();
  for (size_t layer = 0; layer < from.size(); ++layer) {
    nlohmann::json tasks = nlohmann::json::array();
    for (size_t task = 0; task < from[layer].size(); ++task) {
      tasks.push_back({{"total_variation", total_variation(from[layer][task], to[layer][task])},
                       {"jensen_shannon", jensen_shannon(from[layer][task], to[layer][task])}});
    }
    layers.push_back(tasks);
  }
  return layers;
}

/// A network trained under one config is not the network that another config describes.
void require_own_config(const fs::path& run, const Config& config, const RunRecord& record) {
  const std::string found = config_fingerprint(config);
  if (record.config_fingerprint.empty() || record.config_fingerprint == found) return;
  throw InputError((run / "config.yaml").string() +
                   ": is not the one the run was made with (config_fingerprint " +
                   record.config_fingerprint + " in run.json, " + found +
                   " by this file), or a cdsp with other defaults made it; put it back, or name "
                   "weights and config by --checkpoint and "
                   "--config");
}

}  // namespace

TrainedModel model_of_run(const fs::path& run) {
  if (!fs::is_directory(run)) throw InputError(run.string() + ": is not a run's folder");
  if (!fs::exists(run / "config.yaml"))
    throw InputError(run.string() + ": holds no run (no config.yaml)");
  const Config config = load_config(run / "config.yaml");
  const auto record = read_run_record(run);
  if (record) require_own_config(run, config, *record);
  const auto weights = find_weights(run);
  if (weights) return {config, *weights};
  const bool had_weights = record && (record->checkpoint_step || record->status == "finished");
  throw InputError(had_weights ? (run / "checkpoints" / "last" / "model.safetensors").string() +
                                     ": is gone; the run had it"
                               : run.string() + ": holds no checkpoint yet");
}

BlindEvaluation::BlindEvaluation(const TrainedModel& model, const Dataset& data,
                                 const std::vector<Protocol>& protocols)
    : network_(model.config, {data.test.rows, data.test.cols, data.test.tasks()},
               resolve_device(model.config.train.device)),
      test_(place(data.test, network_.device())),
      evaluator_(network_, test_, protocols, model.config.train.eval_batch_size) {
  load_weights(network_, model.weights);
}

std::vector<Evaluation> blind_evaluate(const TrainedModel& model, const Dataset& data,
                                       const std::vector<Protocol>& protocols) {
  use_threads(model.config.train.threads);
  BlindEvaluation evaluation(model, data, protocols);
  while (evaluation.has_next()) evaluation.advance();
  return evaluation.results();
}

nlohmann::ordered_json provenance_json(const TrainedModel& model, const Dataset& data) {
  const TensorFile weights = read_safetensors(model.weights);
  const auto step = weights.metadata.find("step");
  nlohmann::ordered_json json;
  json["step"] = step == weights.metadata.end() ? "unknown" : step->second;
  json["data_fingerprint"] = data.fingerprint;
  for (const auto& [key, value] : flatten(model.config)) {
    if (!changes_speed_only(key)) json["config"][key] = value;
  }
  return json;
}

nlohmann::ordered_json blind_eval_json(const TrainedModel& model, const Dataset& data,
                                       const std::vector<Evaluation>& evaluations) {
  nlohmann::ordered_json json;
  json["tasks"] = data.task_names;
  json["provenance"] = provenance_json(model, data);
  const Evaluation& first = evaluations.front();
  for (const Evaluation& evaluation : evaluations) {
    const std::string name = evaluation.protocol.name();
    json["protocols"][name] = {{"routing", evaluation.routing},
                               {"accuracy", evaluation.accuracy},
                               {"loss", evaluation.loss}};
    auto& metrics = json["metrics"][name];
    metrics["accuracy"] = evaluation.total_accuracy();
    metrics["loss"] = evaluation.total_loss();
    metrics["routing"] = routing_measures_json(evaluation.routing);
    if (&evaluation == &first) continue;
    metrics["compared_with"] = first.protocol.name();
    metrics["accuracy_drop"] = first.total_accuracy() - evaluation.total_accuracy();
    metrics["same_route"] = evaluation.same_route;
    metrics["route_jaccard"] = evaluation.route_jaccard;
    metrics["routing_shift"] = shifts_json(first.routing, evaluation.routing);
  }
  return json;
}

fs::path write_blind_eval(const fs::path& out, const TrainedModel& model, const Dataset& data,
                          const std::vector<Evaluation>& evaluations) {
  const fs::path folder = out / "blind_eval";
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw InputError(folder.string() + ": cannot be created: " + code.message());
  // Tables of protocols that are not among these would belong to other weights or data.
  for (const Protocol& protocol : all_protocols(data.test.tasks())) {
    fs::remove(folder / (protocol.name() + ".csv"), code);
  }
  for (const Evaluation& evaluation : evaluations) {
    write_file_atomically(folder / (evaluation.protocol.name() + ".csv"),
                          routing_csv(evaluation.routing, data.task_names));
  }
  fs::path path = folder / "blind_eval.json";
  write_file_atomically(path, json_text(blind_eval_json(model, data, evaluations), 1) + "\n");
  return path;
}

}  // namespace cdsp
