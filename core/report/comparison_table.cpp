#include "report/comparison_table.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "report/terminal_heatmap.h"
#include "report/text_table.h"
#include "report/training_facts.h"

namespace cdsp {
namespace {

constexpr const char* kLinearName = "linear softmax";
constexpr const char* kReading =
    "Mean ± sample standard deviation over seeds, then Student's 95 % interval of the mean; "
    "accuracies and gaps in per cent. Train: over the last epoch's steps, while learning, which is "
    "what the paper prints; published: its Table A2. "
    "Test: told the task, except for variant blind, which is never told. Gap: the arm minus the "
    "baseline of the same seed. Blind: test images with the task withheld; drop: what that costs. "
    "Separation index: layer 0, in bits, positive when the first two tasks share experts and the "
    "third does not (three tasks only). Same route: tokens of layer 0 whose experts stay the same "
    "without the task. Linear softmax: one softmax regression on pixels for each "
    "task, over all images as the arms' accuracies are; its training accuracy is of final weights, "
    "so it stands by task only.";

double mean_over_images(const std::vector<double>& accuracy, const std::vector<double>& images) {
  double correct = 0.0, count = 0.0;
  for (size_t task = 0; task < accuracy.size(); ++task) {
    correct += accuracy[task] * images[task];
    count += images[task];
  }
  return correct / count;
}

std::vector<std::string> arm_names(const Comparison& comparison) {
  std::vector<std::string> names;
  for (const ComparedRun& run : comparison.runs) {
    if (names.empty() || names.back() != run.arm) names.push_back(run.arm);
  }
  return names;
}

std::optional<PublishedFigures> published_for(const Comparison& comparison,
                                              const std::string& arm) {
  for (const PublishedFigures& figures : published_figures(comparison.tasks)) {
    if (arm == figures.arm) return figures;
  }
  return std::nullopt;
}

/// The words "mean ± deviation" and the interval of a measure, as two cells.
class ArmCells {
 public:
  ArmCells(const Comparison& comparison, const std::string& arm)
      : comparison_(comparison), arm_(arm) {}

  void add(std::vector<std::string>& row, const char* measure, double scale, int decimals) const {
    const Spread spread = spread_over_seeds(comparison_.runs, arm_, measure);
    row.push_back(spread_text(spread, scale, decimals));
    row.push_back(interval_text(spread, scale, decimals));
  }
  /// Differences to the baseline, in percentage points.
  void add_gap(std::vector<std::string>& row, const char* measure) const {
    const Spread spread = spread_over_seeds(comparison_.runs, arm_, measure);
    row.push_back(arm_ == "baseline" ? "-" : spread_text(spread, 100, 2, true));
    row.push_back(arm_ == "baseline" ? "-" : interval_text(spread, 100, 2));
  }

 private:
  const Comparison& comparison_;
  const std::string& arm_;
};

TextTable accuracy_table(const Comparison& comparison) {
  TextTable table({"Table A2, accuracy", "train acc.", "95 %", "published", "train gap", "95 %",
                   "test acc.", "95 %", "test gap", "95 %"});
  for (const std::string& arm : arm_names(comparison)) {
    const ArmCells cells(comparison, arm);
    const auto published = published_for(comparison, arm);
    std::vector<std::string> row = {arm};
    cells.add(row, "train_accuracy", 100, 2);
    row.push_back(published ? per_cent(published->accuracy) : "-");
    cells.add_gap(row, "train_accuracy_gap_to_baseline");
    cells.add(row, "test_accuracy", 100, 2);
    cells.add_gap(row, "test_accuracy_gap_to_baseline");
    table.add_row(row);
  }
  // Its training accuracy is that of its final weights: another quantity than the arms'.
  const double test = mean_over_images(comparison.linear.test_accuracy, comparison.test_images);
  Spread gap;
  gap.mean = test - spread_over_seeds(comparison.runs, "baseline", "test_accuracy").mean;
  table.add_row({kLinearName, "-", "-", "-", "-", "-", per_cent(test), "-",
                 spread_text(gap, 100, 2, true), "-"});
  return table;
}

TextTable loss_table(const Comparison& comparison) {
  TextTable table({"Table A2, loss", "train loss", "95 %", "published", "test loss", "95 %"});
  for (const std::string& arm : arm_names(comparison)) {
    const ArmCells cells(comparison, arm);
    const auto published = published_for(comparison, arm);
    std::vector<std::string> row = {arm};
    cells.add(row, "train_loss", 1, 4);
    row.push_back(published ? fixed_number(published->loss, 4) : "-");
    cells.add(row, "test_loss", 1, 4);
    table.add_row(row);
  }
  return table;
}

TextTable routing_table(const Comparison& comparison) {
  TextTable table({"routing", "blind acc.", "drop", "separation", "95 %", "sep. blind", "95 %",
                   "NMI", "NMI blind", "same route", "sparsity"});
  for (const std::string& arm : arm_names(comparison)) {
    const auto over = [&](const char* measure) {
      return spread_over_seeds(comparison.runs, arm, measure);
    };
    table.add_row(
        {arm, spread_text(over("blind_accuracy"), 100, 2),
         spread_text(over("blind_accuracy_drop"), 100, 2),
         spread_text(over("separation_index"), 1, 3), interval_text(over("separation_index"), 1, 3),
         spread_text(over("blind_separation_index"), 1, 3),
         interval_text(over("blind_separation_index"), 1, 3), spread_text(over("nmi"), 1, 3),
         spread_text(over("blind_nmi"), 1, 3), spread_text(over("route_consistency"), 100, 1),
         spread_text(over("alpha_sparsity"), 1, 2)});
  }
  return table;
}

/// One line for each arm and kind of accuracy, one column for each task.
TextTable task_table(const Comparison& comparison) {
  std::vector<std::string> heading = {"accuracy by task"};
  heading.insert(heading.end(), comparison.tasks.begin(), comparison.tasks.end());
  TextTable table(heading);
  struct Kind {
    const char* name;
    std::vector<double> ComparedRun::*values;
  };
  const auto add = [&](const std::string& name, const auto& cell) {
    std::vector<std::string> row = {name};
    for (size_t task = 0; task < comparison.tasks.size(); ++task) row.push_back(cell(task));
    table.add_row(row);
  };
  for (const std::string& arm : arm_names(comparison)) {
    for (const Kind& kind : {Kind{"train", &ComparedRun::task_train_accuracy},
                             Kind{"test", &ComparedRun::task_test_accuracy},
                             Kind{"task withheld", &ComparedRun::task_blind_accuracy}}) {
      add(arm + ", " + kind.name, [&](size_t task) {
        std::vector<double> values;
        for (const ComparedRun& run : comparison.runs) {
          if (run.arm == arm) values.push_back((run.*kind.values)[task]);
        }
        return spread_text(spread_of(values), 100, 2);
      });
    }
  }
  add(std::string(kLinearName) + ", train, final weights",
      [&](size_t task) { return per_cent(comparison.linear.train_accuracy[task]); });
  add(std::string(kLinearName) + ", test",
      [&](size_t task) { return per_cent(comparison.linear.test_accuracy[task]); });
  return table;
}

std::string seeds_text(const Comparison& comparison) {
  std::string text;
  int64_t count = 0;
  for (const ComparedRun& run : comparison.runs) {
    if (run.arm != comparison.runs.front().arm) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(run.seed);
    ++count;
  }
  return (count == 1 ? "seed " : "seeds ") + text;
}

std::string panel_name(const std::string& arm) {
  return arm == "blind" ? "blind baseline" : arm == "cdsp" ? "CDSP" : arm;
}

TrainingFacts facts_of(const Comparison& comparison) {
  TrainingFacts facts;
  facts.labels = comparison.labels;
  facts.tasks = comparison.tasks;
  facts.train_images = comparison.train_images;
  facts.test_images = comparison.test_images;
  facts.seeds = comparison.seeds.size();
  for (const ComparedArm& arm : comparison.arms) {
    facts.steps.push_back(arm.steps);
    facts.epochs.push_back(arm.epochs);
  }
  return facts;
}

/// What was trained on what, and for how long.
std::string training_text(const Comparison& comparison) {
  const TrainingFacts facts = facts_of(comparison);
  std::string text = seeds_text(comparison) +
                     "; training images: " + images_in_words(facts.tasks, facts.train_images) +
                     "; test images: " + images_in_words(facts.tasks, facts.test_images);
  if (!facts.labels.empty()) text += "; " + facts.labels + " labels";
  if (!facts.steps.empty()) {
    text += "; optimiser steps of a run: " + range_in_words(facts.steps) +
            "; epochs: " + range_in_words(facts.epochs);
  }
  return text;
}

std::string caveat_paragraph(const Comparison& comparison) {
  if (published_figures(comparison.tasks).empty()) return "";
  return published_caveat(facts_of(comparison)) + "\n\n";
}

}  // namespace

std::string spread_text(const Spread& spread, double scale, int decimals, bool with_sign) {
  const std::string mean = fixed_number(scale * spread.mean, decimals);
  const std::string sign = with_sign && scale * spread.mean >= 0.0 ? "+" : "";
  return sign + mean + (spread.std ? " ± " + fixed_number(scale * *spread.std, decimals) : "");
}

std::string interval_text(const Spread& spread, double scale, int decimals) {
  if (!spread.interval) return "-";
  return "[" + fixed_number(scale * spread.interval->low, decimals) + ", " +
         fixed_number(scale * spread.interval->high, decimals) + "]";
}

std::string notes_text(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += "warning: " + note + "\n";
  return text + (notes.empty() ? "" : "\n");
}

std::string notes_markdown(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += "**Warning:** " + note + "\n\n";
  return text;
}

std::string comparison_text(const Comparison& comparison) {
  return notes_text(comparison.notes) + training_text(comparison) + "\n\n" +
         accuracy_table(comparison).text() + "\n" + loss_table(comparison).text() + "\n" +
         caveat_paragraph(comparison) + routing_table(comparison).text() + "\n" +
         task_table(comparison).text();
}

std::string comparison_markdown(const Comparison& comparison) {
  return "# The arms of " + comparison.suite + " side by side\n\n" +
         notes_markdown(comparison.notes) + training_text(comparison) + ".\n\n" +
         accuracy_table(comparison).markdown() + "\n" + loss_table(comparison).markdown() + "\n" +
         caveat_paragraph(comparison) + routing_table(comparison).markdown() + "\n" +
         task_table(comparison).markdown() + "\n" + kReading +
         "\n\n![Routing heatmaps of the arms](routing.svg)\n";
}

HeatmapPicture comparison_heatmaps(const Comparison& comparison) {
  HeatmapPicture picture;
  picture.title = "Which experts each task selects";
  picture.tasks = comparison.tasks;
  const uint64_t seed = comparison.runs.front().seed;
  picture.subtitle = "Layer 0, all test images, seed " + std::to_string(seed) +
                     ": told the task (informed) and with the task withheld (blind)";
  for (const ComparedRun& run : comparison.runs) {
    if (run.seed != seed) continue;
    const std::string name = panel_name(run.arm);
    picture.panels.push_back({name + ", informed", run.informed_routing.front()});
    picture.panels.push_back({name + ", blind", run.blind_routing.front()});
  }
  return picture;
}

std::string comparison_heatmap_text(const Comparison& comparison, const Terminal& terminal) {
  const HeatmapPicture picture = comparison_heatmaps(comparison);
  double largest = 0.0;
  for (const HeatmapPanel& panel : picture.panels) {
    largest = std::max(largest, largest_share(panel.shares));
  }
  std::string text = picture.subtitle + "\n";
  for (const HeatmapPanel& panel : picture.panels) {
    text += "\n" + panel.title + "\n" +
            terminal_heatmap(panel.shares, picture.tasks, largest, terminal);
  }
  return text;
}

}  // namespace cdsp
