// Reading what the claims need from a finished run's folder.
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "config/config.h"
#include "experiment/claims.h"
#include "experiment/run_directory.h"
#include "experiment/run_tables.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

std::vector<std::pair<std::string, std::string>> comparable_config(const Config& config) {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& entry : flatten(config)) {
    if (entry.first != "seed" && !changes_speed_only(entry.first)) keys.push_back(entry);
  }
  return keys;
}

std::vector<ClaimEpoch> read_epochs(const fs::path& folder) {
  const CsvTable table(folder / "epochs.csv");
  const auto number = table.numbers("epoch"), train_loss = table.numbers("train_loss"),
             train_accuracy = table.numbers("train_accuracy"),
             test_loss = table.numbers("test_loss"), test_accuracy = table.numbers("test_accuracy");
  std::vector<ClaimEpoch> epochs(table.rows());
  for (size_t row = 0; row < epochs.size(); ++row) {
    ClaimEpoch& epoch = epochs[row];
    epoch.epoch = static_cast<int64_t>(number[row]);
    epoch.train_loss = train_loss[row];
    epoch.train_accuracy = train_accuracy[row];
    epoch.test_loss = test_loss[row];
    epoch.test_accuracy = test_accuracy[row];
    epoch.routing = read_layer_tables(epoch_table(folder / "routing", epoch.epoch)).front();
  }
  if (epochs.empty()) throw InputError((folder / "epochs.csv").string() + ": holds no epoch");
  return epochs;
}

std::vector<ClaimStep> read_steps(const fs::path& folder) {
  const CsvTable table(folder / "metrics.csv");
  const auto step = table.numbers("step"), epoch = table.numbers("epoch"),
             conflict = table.numbers("loss_conflict"), sparsity = table.numbers("alpha_sparsity");
  std::vector<ClaimStep> steps(table.rows());
  for (size_t row = 0; row < steps.size(); ++row) {
    steps[row] = {static_cast<int64_t>(step[row]), static_cast<int64_t>(epoch[row]), conflict[row],
                  sparsity[row]};
  }
  return steps;
}

}  // namespace

ClaimRun read_claim_run(const fs::path& run_folder, const std::string& arm) {
  const auto record = read_run_record(run_folder);
  if (!record) throw InputError(run_folder.string() + ": holds no run of cdsp");
  if (record->status != "finished") {
    throw InputError(run_folder.string() + ": the run is " + record->status +
                     ", claims need a finished one");
  }
  const Config config = load_config(run_folder / "config.yaml");
  ClaimRun run;
  run.arm = arm;
  run.seed = config.seed;
  run.config = comparable_config(config);
  run.epochs = read_epochs(run_folder);
  run.steps = read_steps(run_folder);
  if (config.variant == Variant::kCdsp) {
    run.links = read_layer_tables(epoch_table(run_folder / "topology", run.epochs.back().epoch));
  }
  const fs::path judged = run_folder / "blind_eval" / "blind_eval.json";
  if (!fs::exists(judged)) {
    throw InputError(judged.string() + ": is not there; cdsp blind-eval --run " +
                     run_folder.string() + " writes it");
  }
  try {
    const auto json = nlohmann::json::parse(read_file(judged));
    json.at("protocols").at("informed").at("routing").at(0).get_to(run.informed_routing);
    json.at("protocols").at("blind").at("routing").at(0).get_to(run.blind_routing);
  } catch (const nlohmann::json::exception& error) {
    throw InputError(judged.string() +
                     ": is not what cdsp blind-eval writes for the protocols informed and blind: " +
                     error.what());
  }
  return run;
}

}  // namespace cdsp
