// Blind evaluation: what the network does when the task is told, withheld, or told wrongly.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "config/config.h"
#include "data/dataset.h"
#include "eval/evaluate.h"

namespace cdsp {

/// A trained network to judge: from a run's folder, or from weights and a config.
struct TrainedModel {
  Config config;
  std::filesystem::path weights;
};

/// The newest weights of a run. Throws InputError if the folder holds no run or no checkpoint yet,
/// or if its config.yaml is not the one of its run.json.
TrainedModel model_of_run(const std::filesystem::path& run);

/// An evaluation of all test images under each protocol, bit by bit; comparisons are made with
/// the first.
class BlindEvaluation {
 public:
  /// `data` must outlive this. Throws InputError for weights that do not fit.
  BlindEvaluation(const TrainedModel& model, const Dataset& data,
                  const std::vector<Protocol>& protocols);
  /// As Evaluator's.
  bool has_next() const { return evaluator_.has_next(); }
  void advance() { evaluator_.advance(); }
  std::vector<Evaluation> results() const { return evaluator_.results(); }

 private:
  Network network_;
  DeviceSplit test_;
  Evaluator evaluator_;
};

/// The same in one go.
std::vector<Evaluation> blind_evaluate(const TrainedModel& model, const Dataset& data,
                                       const std::vector<Protocol>& protocols);

/// What an evaluation was made of: step of the weights, config (but for what only changes speed)
/// and data. Two evaluations with equal provenance have equal results.
nlohmann::ordered_json provenance_json(const TrainedModel& model, const Dataset& data);

/// The content of blind_eval.json (spec section 9), with its provenance.
nlohmann::ordered_json blind_eval_json(const TrainedModel& model, const Dataset& data,
                                       const std::vector<Evaluation>& evaluations);

/// Writes blind_eval/blind_eval.json and blind_eval/PROTOCOL.csv into `out` and removes the CSV
/// files of protocols that are not among these; returns the JSON's path.
std::filesystem::path write_blind_eval(const std::filesystem::path& out, const TrainedModel& model,
                                       const Dataset& data,
                                       const std::vector<Evaluation>& evaluations);

}  // namespace cdsp
