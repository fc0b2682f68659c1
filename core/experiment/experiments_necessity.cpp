// Experiment III: is it the conflict? Every arm beside CDSP, seed by seed.
#include <algorithm>

#include "experiment/experiments_folder.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// What the arms of the control suites are for.
struct Control {
  const char* arm;
  const char* question;
};
constexpr Control kControls[] = {
    {"blind", "the paper's control: a router that never sees a task and no conflict"},
    {"cdsp-no-conflict", "CDSP without the gradient game, all else equal"},
    {"cdsp-blind", "CDSP that is never told the task while it learns"},
    {"baseline-task-dropout", "a baseline that learns to do without the task half of the time"}};

constexpr const char* kMeasures[] = {
    "separation_index", "blind_separation_index", "nmi", "blind_nmi", "test_accuracy",
    "blind_accuracy",   "blind_accuracy_drop"};

std::string purpose_of(const ComparedArm& arm) {
  for (const Control& control : kControls) {
    if (arm.name == control.arm) return control.question;
  }
  return arm.name == "baseline" || arm.name == "cdsp" ? "reference" : "";
}

std::string changes_of(const ComparedArm& arm) {
  std::string text = arm.variant == "cdsp" ? "" : "variant: " + arm.variant;
  for (const auto& [key, value] : arm.differs_from_cdsp) {
    text += (text.empty() ? "" : "; ") + key + ": " + value;
  }
  return text.empty() ? "-" : text;
}

std::string by_run(const Comparison& comparison) {
  std::string table = "arm,seed";
  for (const char* measure : kMeasures) table += std::string(",") + measure;
  table += "\n";
  for (const ComparedRun& run : comparison.runs) {
    CsvRow row;
    row.add(run.arm).add(std::to_string(run.seed));
    for (const char* measure : kMeasures) row.add(run.measures.get(measure));
    table += row.text() + "\n";
  }
  return table;
}

std::string routing(const Comparison& comparison) {
  std::string table =
      routing_columns("arm,seed,protocol", comparison.runs.front().informed_routing);
  for (const ComparedRun& run : comparison.runs) {
    const std::string keys = run.arm + "," + std::to_string(run.seed);
    table += routing_rows(keys + ",informed", run.informed_routing, comparison.tasks);
    table += routing_rows(keys + ",blind", run.blind_routing, comparison.tasks);
  }
  return table;
}

/// CDSP minus every other arm at the same seeds; the separations also go into `shown`.
std::string differences(const Comparison& comparison, ShownTable& shown) {
  std::string table = "arm,measure,seeds,mean_difference,interval_low,interval_high\n";
  for (const ComparedArm& arm : comparison.arms) {
    if (arm.name == "cdsp") continue;
    std::vector<std::string> row = {arm.name};
    for (const char* measure : kMeasures) {
      const Spread difference =
          spread_of(values_of(paired_differences(seed_values(comparison.runs, "cdsp", measure),
                                                 seed_values(comparison.runs, arm.name, measure))));
      std::optional<double> low, high;
      if (difference.interval) low = difference.interval->low, high = difference.interval->high;
      CsvRow cells;
      cells.add(arm.name).add(measure).add(difference.seeds).add(difference.mean);
      table += cells.add(low).add(high).text() + "\n";
      const std::string name = measure;
      if (name == "separation_index" || name == "blind_separation_index" || name == "test_accuracy")
        row.push_back(name == "test_accuracy" ? cell(difference, 2, 100) : cell(difference));
    }
    shown.rows.push_back(row);
  }
  return table;
}

ShownTable arms_table(const Comparison& comparison) {
  ShownTable table;
  table.title = "Arms, mean [95 % interval] over seeds";
  table.columns = {"arm",
                   "against cdsp",
                   "question",
                   "separation told (bits)",
                   "separation not told (bits)",
                   "test accuracy (%)",
                   "test accuracy not told (%)"};
  for (const ComparedArm& arm : comparison.arms) {
    const auto over = [&](const char* measure, int decimals, double scale) {
      return cell(spread_over_seeds(comparison.runs, arm.name, measure), decimals, scale);
    };
    table.rows.push_back({arm.name, changes_of(arm), purpose_of(arm),
                          over("separation_index", 3, 1), over("blind_separation_index", 3, 1),
                          over("test_accuracy", 2, 100), over("blind_accuracy", 2, 100)});
  }
  return table;
}

/// What the networks do before training, and how far training moved them from there.
ShownTable start_table(const Comparison& comparison) {
  ShownTable table;
  table.title = "The same networks before training, and what training added, mean [95 % interval]";
  table.columns = {"arm", "separation told, untrained", "separation not told, untrained",
                   "added, told", "added, not told"};
  for (const ComparedArm& arm : comparison.arms) {
    const auto over = [&](const std::string& measure) {
      return seed_values(comparison.runs, arm.name, measure);
    };
    const auto added = [&](const std::string& measure) {
      return cell(
          spread_of(values_of(paired_differences(over(measure), over("untrained_" + measure)))));
    };
    table.rows.push_back({arm.name, cell(spread_of(values_of(over("untrained_separation_index")))),
                          cell(spread_of(values_of(over("untrained_blind_separation_index")))),
                          added("separation_index"), added("blind_separation_index")});
  }
  return table;
}

ShownTable missing_table(const Comparison& comparison) {
  ShownTable table;
  table.title = "Controls that this suite does not have";
  table.columns = {"arm", "what it would tell"};
  for (const Control& control : kControls) {
    const bool there = std::any_of(comparison.arms.begin(), comparison.arms.end(),
                                   [&](const ComparedArm& arm) { return arm.name == control.arm; });
    if (!there) table.rows.push_back({control.arm, control.question});
  }
  return table;
}

}  // namespace

fs::path write_necessity(const Comparison& comparison, const fs::path& out) {
  if (runs_of(comparison, "cdsp").empty() || comparison.arms.size() < 2) return {};
  ExperimentFolder folder(
      "3_necessity_of_conflict", "Experiment III: necessity of conflict",
      "CDSP beside arms that lack one thing each. If conflict is the cause of the experts' "
      "separation, then it must be larger in CDSP than in the arm without the gradient game, and "
      "an arm that is merely blind, or merely learns without the task, must not have it.");
  std::vector<std::string> arms;
  for (const ComparedArm& arm : comparison.arms) arms.push_back(arm.name);
  folder.set_arms(arms);
  ShownTable shown;
  shown.title = "CDSP minus the arm at the same seeds, mean [95 % interval]";
  shown.columns = {"arm", "separation told (bits)", "separation not told (bits)",
                   "test accuracy (points)"};
  folder.add_csv("arms.csv", by_run(comparison), "the measures of layer 0 and accuracies by run");
  folder.add_csv("differences.csv", differences(comparison, shown),
                 "CDSP minus the arm over the seeds that both have, with Student's 95 % interval");
  folder.add_csv("routing.csv", routing(comparison),
                 "share of each task's expert selections, told the task and not told");
  folder.add_table(arms_table(comparison));
  folder.add_table(shown);
  folder.add_table(start_table(comparison));
  const ShownTable missing = missing_table(comparison);
  if (!missing.rows.empty()) folder.add_table(missing);
  return folder.write(out, comparison);
}

}  // namespace cdsp
