#include "report/comparison_table.h"

#include <algorithm>

#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

constexpr const char* kVariants[] = {"baseline", "blind", "cdsp"};
constexpr const char* kLinearName = "linear softmax";
constexpr const char* kReading =
    "Accuracies in per cent; mean ± sample standard deviation over seeds. Train: over the last "
    "epoch's "
    "steps, while learning. Test: told the task, except for variant blind, which is never told. "
    "Gap: test "
    "accuracy minus the baseline's of the same seed. Blind: test images with the task withheld; "
    "drop: what "
    "that costs. Separation index: layer 0, in bits, positive when the first two tasks share "
    "experts and "
    "the third does not (three tasks only). Linear softmax: one softmax regression on pixels for "
    "each task.";

std::string spread_text(const Spread& spread, double scale, int decimals, bool with_sign = false) {
  const std::string mean = fixed_number(scale * spread.mean, decimals);
  const std::string sign = with_sign && scale * spread.mean >= 0.0 ? "+" : "";
  return sign + mean + (spread.std ? " ± " + fixed_number(scale * *spread.std, decimals) : "");
}

double mean_over_images(const std::vector<double>& accuracy, const std::vector<double>& images) {
  double correct = 0.0, count = 0.0;
  for (size_t task = 0; task < accuracy.size(); ++task) {
    correct += accuracy[task] * images[task];
    count += images[task];
  }
  return correct / count;
}

TextTable results_table(const Comparison& comparison) {
  TextTable table({"variant", "train loss", "test loss", "train acc.", "test acc.", "gap",
                   "blind acc.", "drop", "separation", "sep. blind"});
  for (const char* variant : kVariants) {
    const auto cell = [&](double ComparedRun::*measure, double scale, int decimals) {
      return spread_text(spread_over_seeds(comparison, variant, measure), scale, decimals);
    };
    const Spread gap = gap_to_baseline(comparison, variant, &ComparedRun::test_accuracy);
    table.add_row({variant, cell(&ComparedRun::train_loss, 1, 4),
                   cell(&ComparedRun::test_loss, 1, 4), cell(&ComparedRun::train_accuracy, 100, 2),
                   cell(&ComparedRun::test_accuracy, 100, 2),
                   std::string(variant) == "baseline" ? "-" : spread_text(gap, 100, 2, true),
                   cell(&ComparedRun::blind_accuracy, 100, 2),
                   cell(&ComparedRun::blind_accuracy_drop, 100, 2),
                   cell(&ComparedRun::separation_index, 1, 3),
                   cell(&ComparedRun::blind_separation_index, 1, 3)});
  }
  const double train = mean_over_images(comparison.linear.train_accuracy, comparison.train_images);
  const double test = mean_over_images(comparison.linear.test_accuracy, comparison.test_images);
  Spread gap;
  gap.mean = test - spread_over_seeds(comparison, "baseline", &ComparedRun::test_accuracy).mean;
  table.add_row({kLinearName, "-", "-", per_cent(train), per_cent(test),
                 spread_text(gap, 100, 2, true), "-", "-", "-", "-"});
  return table;
}

/// One line for each variant and kind of accuracy, one column for each task.
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
  for (const char* variant : kVariants) {
    for (const Kind& kind : {Kind{"train", &ComparedRun::task_train_accuracy},
                             Kind{"test", &ComparedRun::task_test_accuracy},
                             Kind{"task withheld", &ComparedRun::task_blind_accuracy}}) {
      add(std::string(variant) + ", " + kind.name, [&](size_t task) {
        std::vector<double> values;
        for (const ComparedRun& run : comparison.runs) {
          if (run.variant == variant) values.push_back((run.*kind.values)[task]);
        }
        return spread_text(spread_of(values), 100, 2);
      });
    }
  }
  add(std::string(kLinearName) + ", train",
      [&](size_t task) { return per_cent(comparison.linear.train_accuracy[task]); });
  add(std::string(kLinearName) + ", test",
      [&](size_t task) { return per_cent(comparison.linear.test_accuracy[task]); });
  return table;
}

std::string seeds_text(const Comparison& comparison) {
  std::string text;
  int64_t count = 0;
  for (const ComparedRun& run : comparison.runs) {
    if (run.variant != kVariants[0]) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(run.seed);
    ++count;
  }
  return (count == 1 ? "seed " : "seeds ") + text;
}

std::string panel_name(const std::string& variant) {
  return variant == "blind" ? "blind baseline" : variant == "cdsp" ? "CDSP" : variant;
}

std::string images_text(const Comparison& comparison) {
  std::string text;
  for (size_t task = 0; task < comparison.tasks.size(); ++task) {
    text += (task == 0 ? "" : ", ") + comparison.tasks[task] + " " +
            fixed_number(comparison.train_images[task], 0) + " + " +
            fixed_number(comparison.test_images[task], 0);
  }
  return "training + test images: " + text;
}

}  // namespace

std::string comparison_text(const Comparison& comparison) {
  return seeds_text(comparison) + "; " + images_text(comparison) + "\n\n" +
         results_table(comparison).text() + "\n" + task_table(comparison).text();
}

std::string comparison_markdown(const Comparison& comparison) {
  return "# Baseline, blind baseline and CDSP side by side\n\n" + seeds_text(comparison) + "; " +
         images_text(comparison) + ".\n\n" + results_table(comparison).markdown() + "\n" +
         task_table(comparison).markdown() + "\n" + kReading +
         "\n\n![Routing heatmaps of the three variants](routing.svg)\n";
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
    const std::string name = panel_name(run.variant);
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
