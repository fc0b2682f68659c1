// Experiment I: does modularity emerge? Routing, topology and conflict of CDSP, epoch by epoch.
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_number.h"
#include "experiment/experiments_folder.h"
#include "experiment/run_tables.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kArm = "cdsp";

/// The last epoch that has a routing file.
int64_t epochs_of(const fs::path& run) {
  int64_t epochs = 0;
  while (fs::exists(epoch_table(run / "routing", epochs + 1))) ++epochs;
  if (epochs == 0) throw InputError(run.string() + ": holds no routing/epoch_001.csv");
  return epochs;
}

/// The rows of a CSV file with `keys` before each; its heading with `key_names` once, at the top.
void stack(const fs::path& file, const std::string& key_names, const std::string& keys,
           std::string& table) {
  std::istringstream lines(read_file(file));
  std::string line;
  std::getline(lines, line);
  if (table.empty()) table = key_names + "," + line + "\n";
  while (std::getline(lines, line)) table += keys + "," + line + "\n";
}

/// One of the matrices of each epoch (topology, conflict, routing) over all runs.
std::string stacked(const std::vector<const ComparedRun*>& runs, const std::string& folder) {
  std::string table;
  for (const ComparedRun* run : runs) {
    const int64_t epochs = epochs_of(run->folder);
    for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
      stack(epoch_table(run->folder / folder, epoch), "seed,epoch",
            std::to_string(run->seed) + "," + std::to_string(epoch), table);
    }
  }
  return table;
}

/// Chosen columns of metrics.csv over all runs.
std::string stacked_metrics(const std::vector<const ComparedRun*>& runs,
                            const std::vector<std::string>& columns) {
  std::string table = "seed";
  for (const std::string& column : columns) table += "," + column;
  table += "\n";
  for (const ComparedRun* run : runs) {
    const CsvTable metrics(run->folder / "metrics.csv");
    std::vector<std::vector<double>> chosen;
    for (const std::string& column : columns) chosen.push_back(metrics.numbers(column));
    for (size_t i = 0; i < metrics.rows(); ++i) {
      CsvRow row;
      row.add(std::to_string(run->seed));
      for (const std::vector<double>& values : chosen) row.add(values[i]);
      table += row.text() + "\n";
    }
  }
  return table;
}

/// The measures of every epoch's routing; `separation` receives layer 0's index.
std::string measures_by_epoch(const std::vector<const ComparedRun*>& runs, ShownTable& separation) {
  std::string table;
  for (const ComparedRun* run : runs) {
    std::vector<std::string> shown = {std::to_string(run->seed)};
    const int64_t epochs = epochs_of(run->folder);
    for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
      fs::path file = epoch_table(run->folder / "routing", epoch);
      file.replace_extension(".json");
      try {
        const auto json = nlohmann::json::parse(read_file(file));
        int64_t layer = 0;
        for (const auto& measures : json.at("measures")) {
          std::string names = "seed,epoch,layer,separation_index,nmi,load_cv2";
          CsvRow row;
          row.add(std::to_string(run->seed)).add(epoch).add(layer);
          for (const char* name : {"separation_index", "nmi", "load_cv2"})
            row.add(number_from_json(measures.at(name)));
          for (const auto& pair : measures.at("pairs")) {
            names += ",jensen_shannon_" + pair.at("tasks").at(0).dump() + "_" +
                     pair.at("tasks").at(1).dump();
            row.add(number_from_json(pair.at("jensen_shannon")));
          }
          if (table.empty()) table = names + "\n";
          table += row.text() + "\n";
          if (layer == 0) shown.push_back(cell(number_from_json(measures.at("separation_index"))));
          ++layer;
        }
      } catch (const nlohmann::json::exception& error) {
        throw InputError(file.string() + ": is not what a run writes: " + error.what());
      }
    }
    if (separation.columns.empty()) {
      separation.columns = {"seed"};
      for (int64_t epoch = 1; epoch <= epochs; ++epoch)
        separation.columns.push_back("epoch " + std::to_string(epoch));
    }
    separation.rows.push_back(shown);
  }
  return table;
}

/// [layer][expert][expert]
std::vector<std::vector<std::vector<double>>> rank_overlap_of(const fs::path& file) {
  try {
    return nlohmann::json::parse(read_file(file)).at("topology").at("rank_overlap");
  } catch (const nlohmann::json::exception& error) {
    throw InputError(file.string() + ": is not what a run of CDSP writes: " + error.what());
  }
}

std::string rank_overlap(const std::vector<const ComparedRun*>& runs) {
  std::string table;
  for (const ComparedRun* run : runs) {
    int64_t layer = 0;
    for (const auto& matrix : rank_overlap_of(run->folder / "summary.json")) {
      if (table.empty()) {
        table = "seed,layer,expert";
        for (size_t e = 0; e < matrix.size(); ++e) table += ",expert_" + std::to_string(e);
        table += "\n";
      }
      int64_t expert = 0;
      for (const std::vector<double>& row : matrix) {
        CsvRow cells;
        cells.add(std::to_string(run->seed)).add(layer).add(expert++);
        table += cells.add(row).text() + "\n";
      }
      ++layer;
    }
  }
  return table;
}

std::string blind_routing(const Comparison& comparison,
                          const std::vector<const ComparedRun*>& runs) {
  std::string table = routing_columns("seed,protocol", runs.front()->informed_routing);
  for (const ComparedRun* run : runs) {
    const std::string seed = std::to_string(run->seed);
    table += routing_rows(seed + ",informed", run->informed_routing, comparison.tasks);
    table += routing_rows(seed + ",blind", run->blind_routing, comparison.tasks);
  }
  return table;
}

}  // namespace

fs::path write_modularity(const Comparison& comparison, const fs::path& out) {
  const auto runs = runs_of(comparison, kArm);
  if (runs.empty()) return {};
  ExperimentFolder folder(
      "1_emergent_modularity", "Experiment I: emergent modularity",
      "Routing, topology and gradient conflict of CDSP from epoch to epoch, on all test images "
      "told the task, and what is left of the routing when the task is withheld.");
  folder.set_arms({kArm});
  ShownTable separation;
  separation.title = "Separation index of layer 0 in bits, told the task";
  folder.add_csv("routing.csv", stacked(runs, "routing"),
                 "share of each task's expert selections after every epoch, told the task");
  folder.add_csv("routing_measures.csv", measures_by_epoch(runs, separation),
                 "measures of these tables: separation index and Jensen-Shannon divergences in "
                 "bits, NMI of task and expert, squared variation of the load");
  folder.add_csv("topology.csv", stacked(runs, "topology"),
                 "link strengths sigma(A) after every epoch, a row per expert");
  folder.add_csv("conflict.csv", stacked(runs, "conflict"),
                 "mean conflict C over every epoch's steps, a row per expert");
  folder.add_csv("rank_overlap.csv", rank_overlap(runs),
                 "share of the r physical dimensions that two experts both select, at the end");
  folder.add_csv("topology_over_steps.csv",
                 stacked_metrics(runs, {"step", "epoch", "loss_conflict", "alpha_sparsity",
                                        "structural_entropy"}),
                 "conflict, alpha sparsity and structural entropy (bits) at every logged step");
  folder.add_csv("blind_routing.csv", blind_routing(comparison, runs),
                 "the last weights' routing, told the task and not told");
  folder.add_table(separation);
  ShownTable blind;
  blind.title = "At the end, by seed";
  blind.columns = {
      "seed",         "separation told (bits)", "separation not told (bits)", "NMI told",
      "NMI not told", "alpha sparsity",         "structural entropy (bits)",  "mean rank overlap"};
  for (const ComparedRun* run : runs) {
    std::vector<std::string> row = {std::to_string(run->seed)};
    for (const char* name : {"separation_index", "blind_separation_index", "nmi", "blind_nmi",
                             "alpha_sparsity", "structural_entropy", "rank_overlap"})
      row.push_back(cell(run->measures.get(name)));
    blind.rows.push_back(row);
  }
  folder.add_table(blind);
  return folder.write(out, comparison);
}

}  // namespace cdsp
