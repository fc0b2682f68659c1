#include "report/page/results_section.h"

#include <cmath>
#include <cstdlib>
#include <set>

#include "report/page/html_table.h"

namespace cdsp::page {
namespace {

constexpr const char* kLinear = "Linear softmax on pixels";

MeasuredData undefined() {
  MeasuredData measured;
  measured.mean = measured.std = std::nan("");
  return measured;
}

MeasuredData measure_of(const ArmData& arm, const std::string& name) {
  const auto found = arm.measures.find(name);
  return found == arm.measures.end() ? undefined() : found->second;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? std::nan("") : sum / static_cast<double>(values.size());
}

/// Over all images, as an arm's own accuracy is; over tasks where their sizes are not known.
double mean_over_images(const std::vector<double>& of_tasks, const std::vector<double>& images) {
  if (images.size() != of_tasks.size()) return mean_of(of_tasks);
  double right = 0, all = 0;
  for (size_t task = 0; task < of_tasks.size(); ++task) {
    right += of_tasks[task] * images[task];
    all += images[task];
  }
  return right / all;
}

std::string title_of(const std::string& measure) { return style_of_measure(measure).title; }

Cell seeds_cell(const MeasuredData& measured) {
  return {std::to_string(measured.seeds), static_cast<double>(measured.seeds)};
}

PublishedData published_of(const ComparisonData& comparison, const std::string& arm) {
  const auto found = comparison.published.find(arm);
  return found == comparison.published.end() ? PublishedData{std::nan(""), std::nan("")}
                                             : found->second;
}

Cell mean_of_arm(const ArmData& arm, const char* name) {
  return mean_cell(measure_of(arm, name), style_of_measure(name));
}

Cell interval_of_arm(const ArmData& arm, const char* name) {
  return interval_cell(measure_of(arm, name), style_of_measure(name));
}

/// Training accuracy, the paper's number, and test accuracy side by side.
Html table_of_accuracies(const ComparisonData& comparison) {
  constexpr const char* kTrainGap = "train_accuracy_gap_to_baseline";
  constexpr const char* kTestGap = "test_accuracy_gap_to_baseline";
  HtmlTable table(
      "Table A2, accuracy. Mean ± sample standard deviation over seeds; interval of the mean.",
      {{"Arm", false},
       {"Seeds"},
       {title_of("train_accuracy")},
       {"Training, 95 % interval (%)"},
       {"Published (%)"},
       {"Training, gap to baseline (points)"},
       {"Training gap, 95 % interval (points)"},
       {title_of("test_accuracy")},
       {"Test, 95 % interval (%)"},
       {"Test, gap to baseline (points)"},
       {"Test gap, 95 % interval (points)"}});
  for (const ArmData& arm : comparison.arms) {
    const bool own = arm.name == "baseline";
    table.add_row({arm_title(arm.name), seeds_cell(measure_of(arm, "train_accuracy")),
                   mean_of_arm(arm, "train_accuracy"), interval_of_arm(arm, "train_accuracy"),
                   number_cell(published_of(comparison, arm.name).accuracy,
                               style_of_measure("train_accuracy")),
                   own ? Cell("-") : mean_of_arm(arm, kTrainGap),
                   own ? Cell("-") : interval_of_arm(arm, kTrainGap),
                   mean_of_arm(arm, "test_accuracy"), interval_of_arm(arm, "test_accuracy"),
                   own ? Cell("-") : mean_of_arm(arm, kTestGap),
                   own ? Cell("-") : interval_of_arm(arm, kTestGap)});
  }
  if (!comparison.linear_test.empty()) {
    // Its training accuracy is that of its final weights: another quantity than the arms'.
    const double test = mean_over_images(comparison.linear_test, comparison.test_images);
    table.add_row({kLinear, "-", "-", "-", "-", "-", "-",
                   number_cell(test, style_of_measure("test_accuracy")), "-", "-", "-"});
  }
  return table.html();
}

Html table_of_losses(const ComparisonData& comparison) {
  HtmlTable table(
      "Table A2, loss. Mean ± sample standard deviation over seeds; interval of the mean.",
      {{"Arm", false},
       {title_of("train_loss")},
       {"Training, 95 % interval (nats)"},
       {"Published (nats)"},
       {title_of("test_loss")},
       {"Test, 95 % interval (nats)"}});
  for (const ArmData& arm : comparison.arms) {
    table.add_row(
        {arm_title(arm.name), mean_of_arm(arm, "train_loss"), interval_of_arm(arm, "train_loss"),
         number_cell(published_of(comparison, arm.name).loss, style_of_measure("train_loss")),
         mean_of_arm(arm, "test_loss"), interval_of_arm(arm, "test_loss")});
  }
  return table.html();
}

Html table_by_measures(const std::string& caption, const ComparisonData& comparison,
                       const std::vector<std::string>& measures) {
  std::vector<Column> columns = {{"Arm", false}};
  for (const std::string& measure : measures) {
    columns.push_back({title_of(measure)});
    columns.push_back({"95 % interval: " + title_of(measure)});
  }
  HtmlTable table(caption, columns);
  for (const ArmData& arm : comparison.arms) {
    std::vector<Cell> row = {arm_title(arm.name)};
    for (const std::string& measure : measures) {
      row.push_back(mean_cell(measure_of(arm, measure), style_of_measure(measure)));
      row.push_back(interval_cell(measure_of(arm, measure), style_of_measure(measure)));
    }
    table.add_row(row);
  }
  return table.html();
}

Html table_by_task(const ReportData& data) {
  std::vector<Column> columns = {{"Arm", false}, {"Images", false}};
  for (const std::string& task : data.comparison->tasks) columns.push_back({task + " (%)"});
  HtmlTable table("Accuracy by task: mean over seeds", columns);
  const auto style = style_of_measure("test_accuracy");
  const size_t tasks = data.comparison->tasks.size();
  const auto add = [&](const std::string& name, const char* images,
                       const std::vector<std::vector<double>>& of_runs) {
    std::vector<Cell> row = {name, images};
    for (size_t task = 0; task < tasks; ++task) {
      std::vector<double> values;
      for (const auto& run : of_runs) {
        if (task < run.size() && std::isfinite(run[task])) values.push_back(run[task]);
      }
      row.push_back(number_cell(mean_of(values), style));
    }
    if (!of_runs.empty()) table.add_row(row);
  };
  for (const ArmData& arm : data.comparison->arms) {
    for (const auto& [images, part] :
         {std::make_pair("training", &TaskAccuracies::train),
          std::make_pair("test", &TaskAccuracies::test),
          std::make_pair("test, task withheld", &TaskAccuracies::blind)}) {
      std::vector<std::vector<double>> of_runs;
      for (size_t i = 0; i < data.accuracies.size(); ++i) {
        const auto& accuracies = data.accuracies[i].*part;
        if (data.runs[i].arm == arm.name && !accuracies.empty()) of_runs.push_back(accuracies);
      }
      add(arm_title(arm.name), images, of_runs);
    }
  }
  if (!data.comparison->linear_test.empty()) {
    add(kLinear, "training, final weights", {data.comparison->linear_train});
    add(kLinear, "test", {data.comparison->linear_test});
  }
  return table.empty() ? Html{} : table.html();
}

Html table_of_the_rest(const ComparisonData& comparison, const std::set<std::string>& shown) {
  std::vector<Column> columns = {{"Measure", false}};
  std::set<std::string> names;
  for (const ArmData& arm : comparison.arms) {
    columns.push_back({arm_title(arm.name)});
    for (const auto& [name, measured] : arm.measures) {
      if (shown.count(name) == 0) names.insert(name);
    }
  }
  HtmlTable table("Every other measure: mean ± sample standard deviation over seeds", columns);
  for (const std::string& name : names) {
    std::vector<Cell> row = {style_of_measure(name, comparison.tasks).title};
    for (const ArmData& arm : comparison.arms) {
      row.push_back(mean_cell(measure_of(arm, name), style_of_measure(name)));
    }
    table.add_row(row);
  }
  return table.empty()
             ? Html{}
             : fill("details", {{"summary", "Every other measure"}, {"body", table.html()}});
}

}  // namespace

TrainingFacts training_facts(const ReportData& data) {
  TrainingFacts facts;
  if (!data.comparison) {
    for (const RunData& run : data.runs) {
      facts.labels = run.config_value("data.labels");
      for (const auto& [key, value] : run.provenance) {
        if (key == "steps") facts.steps.push_back(std::atoll(value.c_str()));
        if (key == "epochs") facts.epochs.push_back(std::atoll(value.c_str()));
      }
    }
    return facts;
  }
  const ComparisonData& comparison = *data.comparison;
  facts.labels = comparison.labels;
  facts.tasks = comparison.tasks;
  facts.train_images = comparison.train_images;
  facts.test_images = comparison.test_images;
  facts.seeds = comparison.seeds.size();
  for (const ArmData& arm : comparison.arms) {
    if (arm.steps > 0) facts.steps.push_back(arm.steps);
    if (arm.epochs > 0) facts.epochs.push_back(arm.epochs);
  }
  return facts;
}

Html comparison_results(const ReportData& data) {
  const ComparisonData& comparison = *data.comparison;
  Html body = fill("results-intro");
  body += table_of_accuracies(comparison);
  if (!comparison.published.empty()) {
    body += fill("caveat", {{"text", published_caveat(training_facts(data))}});
  }
  body += table_of_losses(comparison);
  body += table_by_measures(
      "With the task withheld, and how tasks separate (layer 0)", comparison,
      {"blind_accuracy", "blind_accuracy_drop", "separation_index", "blind_separation_index"});
  body += table_by_task(data);
  body += table_of_the_rest(
      comparison, {"train_accuracy", "test_accuracy", "train_loss", "test_loss", "blind_accuracy",
                   "blind_accuracy_drop", "separation_index", "blind_separation_index",
                   "test_accuracy_gap_to_baseline", "train_accuracy_gap_to_baseline"});
  return body;
}

Html run_results(const RunData& run) {
  HtmlTable table("Figures at the end of the run", {{"Measure", false}, {"Value"}});
  for (const char* name :
       {"train_accuracy", "train_loss", "test_accuracy", "test_loss", "blind_accuracy",
        "blind_accuracy_drop", "separation_index", "blind_separation_index", "nmi", "load_cv2",
        "alpha_sparsity", "structural_entropy"}) {
    const auto found = run.results.find(name);
    if (found == run.results.end() || !std::isfinite(found->second)) continue;
    table.add_row({title_of(name), number_cell(found->second, style_of_measure(name))});
  }
  if (table.empty()) return fill("paragraph", {{"text", "The run has no summary yet."}});
  return table.html();
}

}  // namespace cdsp::page
