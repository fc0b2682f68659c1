// Experiment II: does the baseline lean on the instruction? Its routing told and not told the task.
#include <algorithm>

#include "eval/routing_measures.h"
#include "experiment/experiments_folder.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kArm = "baseline";

/// Place of an expert among a row's shares, 1 = the most selected.
int64_t place_of(const std::vector<double>& row, size_t expert) {
  return 1 +
         std::count_if(row.begin(), row.end(), [&](double share) { return share > row[expert]; });
}

std::string routing(const Comparison& comparison, const std::vector<const ComparedRun*>& runs) {
  std::string table = routing_columns("seed,protocol", runs.front()->informed_routing);
  for (const ComparedRun* run : runs) {
    const std::string seed = std::to_string(run->seed);
    table += routing_rows(seed + ",informed", run->informed_routing, comparison.tasks);
    table += routing_rows(seed + ",blind", run->blind_routing, comparison.tasks);
  }
  return table;
}

std::string pairs(const Comparison& comparison, const std::vector<const ComparedRun*>& runs) {
  std::string table = "seed,protocol,layer,task_a,task_b,jensen_shannon,total_variation,pearson\n";
  for (const ComparedRun* run : runs) {
    for (const bool informed : {true, false}) {
      const RoutingTable& layers = informed ? run->informed_routing : run->blind_routing;
      for (size_t layer = 0; layer < layers.size(); ++layer) {
        const RoutingRows& rows = layers[layer];
        for (size_t a = 0; a < rows.size(); ++a) {
          for (size_t b = a + 1; b < rows.size(); ++b) {
            CsvRow row;
            row.add(std::to_string(run->seed)).add(informed ? "informed" : "blind");
            row.add(static_cast<int64_t>(layer)).add(comparison.tasks[a]).add(comparison.tasks[b]);
            row.add(jensen_shannon(rows[a], rows[b])).add(total_variation(rows[a], rows[b]));
            table += row.add(pearson(rows[a], rows[b])).text() + "\n";
          }
        }
      }
    }
  }
  return table;
}

/// What became of each task's preferred expert; layer 0 also goes into `shown`.
std::string experts(const Comparison& comparison, const std::vector<const ComparedRun*>& runs,
                    ShownTable& shown) {
  std::string table =
      "seed,layer,task,informed_expert,share_informed,share_blind,place_blind,blind_expert,"
      "total_variation,jensen_shannon,pearson\n";
  for (const ComparedRun* run : runs) {
    for (size_t layer = 0; layer < run->informed_routing.size(); ++layer) {
      const RoutingRows &told = run->informed_routing[layer], &blind = run->blind_routing[layer];
      const auto told_experts = preferred_experts(told), blind_experts = preferred_experts(blind);
      for (size_t task = 0; task < comparison.tasks.size(); ++task) {
        const size_t expert = told_experts[task];
        const double shift = total_variation(told[task], blind[task]);
        const double alike = pearson(told[task], blind[task]);
        CsvRow row;
        row.add(std::to_string(run->seed)).add(static_cast<int64_t>(layer));
        row.add(comparison.tasks[task]).add(static_cast<int64_t>(expert));
        row.add(told[task][expert]).add(blind[task][expert]);
        row.add(place_of(blind[task], expert)).add(static_cast<int64_t>(blind_experts[task]));
        row.add(shift).add(jensen_shannon(told[task], blind[task]));
        table += row.add(alike).text() + "\n";
        if (layer != 0) continue;
        shown.rows.push_back({std::to_string(run->seed), comparison.tasks[task],
                              std::to_string(expert), cell(told[task][expert], 2),
                              cell(blind[task][expert], 2),
                              std::to_string(place_of(blind[task], expert)),
                              std::to_string(blind_experts[task]), cell(shift, 2), cell(alike, 2)});
      }
    }
  }
  return table;
}

std::string accuracies(const Comparison& comparison, const std::vector<const ComparedRun*>& runs) {
  std::string table = "seed,task,accuracy_informed,accuracy_blind\n";
  for (const ComparedRun* run : runs) {
    for (size_t task = 0; task < comparison.tasks.size(); ++task) {
      CsvRow row;
      row.add(std::to_string(run->seed)).add(comparison.tasks[task]);
      table +=
          row.add(run->task_test_accuracy[task]).add(run->task_blind_accuracy[task]).text() + "\n";
    }
  }
  return table;
}

ShownTable summary_table(const Comparison& comparison) {
  ShownTable table;
  table.title = "Layer 0 over seeds, mean [95 % interval]";
  table.columns = {"measure", "told the task", "not told"};
  const auto add = [&](const std::string& name, const std::string& measure) {
    table.rows.push_back({name, cell(spread_over_seeds(comparison.runs, kArm, measure)),
                          cell(spread_over_seeds(comparison.runs, kArm, "blind_" + measure))});
  };
  for (size_t a = 0; a < comparison.tasks.size(); ++a) {
    for (size_t b = a + 1; b < comparison.tasks.size(); ++b) {
      const std::string tasks = comparison.tasks[a] + " and " + comparison.tasks[b];
      const std::string pair = "_" + std::to_string(a) + "_" + std::to_string(b);
      add("Pearson, " + tasks, "pearson" + pair);
      add("total variation, " + tasks, "total_variation" + pair);
    }
  }
  add("NMI of task and expert", "nmi");
  table.rows.push_back({"test accuracy (%)",
                        cell(spread_over_seeds(comparison.runs, kArm, "test_accuracy"), 2, 100),
                        cell(spread_over_seeds(comparison.runs, kArm, "blind_accuracy"), 2, 100)});
  return table;
}

}  // namespace

fs::path write_overfitting(const Comparison& comparison, const fs::path& out) {
  const auto runs = runs_of(comparison, kArm);
  if (runs.empty()) return {};
  ExperimentFolder folder(
      "2_instruction_overfitting", "Experiment II: instruction overfitting",
      "The baseline's last weights on all test images, told the task and not told: if its experts "
      "follow the instruction and not the image, then the tasks' routing becomes alike without it "
      "and a task's expert is no longer its first.");
  folder.set_arms({kArm});
  ShownTable fate;
  fate.title = "What became of each task's expert, layer 0";
  fate.columns = {"seed",           "task",           "expert told",     "its share told",
                  "share not told", "place not told", "expert not told", "total variation",
                  "Pearson"};
  folder.add_csv("routing.csv", routing(comparison, runs),
                 "share of each task's expert selections, told the task and not told");
  folder.add_csv("pairs.csv", pairs(comparison, runs),
                 "how alike two tasks' rows are under each protocol");
  folder.add_csv("experts.csv", experts(comparison, runs, fate),
                 "each task's most selected expert when told, and what share and place it keeps "
                 "when not; of its row told and its row not told the total variation, the "
                 "Jensen-Shannon divergence in bits and the Pearson correlation");
  folder.add_csv("accuracy.csv", accuracies(comparison, runs), "test accuracy of each task");
  folder.add_table(summary_table(comparison));
  folder.add_table(fate);
  return folder.write(out, comparison);
}

}  // namespace cdsp
