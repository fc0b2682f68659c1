// Reading what the claims need from a finished run's folder.
#include <algorithm>
#include <cmath>
#include <limits>

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

/// f of spec section 6, from p = sigma(A). A link so firm that p is rounded to 0 or 1 counts as the
/// firmest that is not.
double penalised(double p, ConflictPenalty penalty) {
  if (penalty == ConflictPenalty::kSigmoid) return p;
  const double inside = std::min(std::max(p, std::numeric_limits<double>::min()),
                                 1.0 - std::numeric_limits<double>::epsilon() / 2.0);
  const double alpha = std::log(inside) - std::log1p(-inside);
  constexpr double kGate = 1e-3;
  return penalty == ConflictPenalty::kGatedLogit && alpha < kGate ? 0.0 : alpha;
}

double share_below_tenth(const LinkTables& links) {
  double below = 0.0, all = 0.0;
  for (const auto& layer : links) {
    for (const auto& row : layer) {
      below += static_cast<double>(
          std::count_if(row.begin(), row.end(), [](double p) { return p < 0.1; }));
      all += static_cast<double>(row.size());
    }
  }
  return below / all;
}

/// What the topology's tables of every epoch come to; NaN for a variant without one.
void add_topology(const fs::path& folder, const Config& config, ClaimRun& run) {
  LinkTables before;
  for (ClaimEpoch& epoch : run.epochs) {
    epoch.alpha_sparsity = epoch.loss_conflict = std::numeric_limits<double>::quiet_NaN();
    if (config.variant != Variant::kCdsp) continue;
    run.links = read_layer_tables(epoch_table(folder / "topology", epoch.epoch));
    const LinkTables conflict = read_layer_tables(epoch_table(folder / "conflict", epoch.epoch));
    epoch.alpha_sparsity = share_below_tenth(run.links);
    epoch.loss_conflict = conflict_loss_of_epoch(before.empty() ? run.links : before, run.links,
                                                 conflict, config.conflict.penalty);
    before = run.links;
  }
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

}  // namespace

double conflict_loss_of_epoch(const LinkTables& links_before, const LinkTables& links_after,
                              const LinkTables& conflict, ConflictPenalty penalty) {
  double sum = 0.0;
  for (size_t layer = 0; layer < conflict.size(); ++layer) {
    for (size_t i = 0; i < conflict[layer].size(); ++i) {
      for (size_t j = 0; j < conflict[layer][i].size(); ++j) {
        if (i == j || conflict[layer][i][j] == 0.0) continue;
        sum += conflict[layer][i][j] * 0.5 *
               (penalised(links_before.at(layer).at(i).at(j), penalty) +
                penalised(links_after.at(layer).at(i).at(j), penalty));
      }
    }
  }
  return sum;
}

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
  add_topology(run_folder, config, run);
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
