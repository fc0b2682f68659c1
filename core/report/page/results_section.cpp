#include "report/page/results_section.h"

#include <cmath>
#include <set>

#include "report/figures/line_chart.h"
#include "report/page/html_table.h"
#include "report/text_table.h"

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
  HtmlTable table(
      "Table A2, accuracy. Mean ± sample standard deviation over seeds; interval of the mean.",
      {{"Arm", false},
       {"Seeds"},
       {title_of("train_accuracy")},
       {"Training, 95 % interval (%)"},
       {"Published (%)"},
       {title_of("test_accuracy")},
       {"Test, 95 % interval (%)"},
       {"Test, gap to baseline (points)"},
       {"Gap, 95 % interval (points)"}});
  for (const ArmData& arm : comparison.arms) {
    const bool own = arm.name == "baseline";
    const char* gap = "test_accuracy_gap_to_baseline";
    table.add_row({arm_title(arm.name), seeds_cell(measure_of(arm, "train_accuracy")),
                   mean_of_arm(arm, "train_accuracy"), interval_of_arm(arm, "train_accuracy"),
                   number_cell(published_of(comparison, arm.name).accuracy,
                               style_of_measure("train_accuracy")),
                   mean_of_arm(arm, "test_accuracy"), interval_of_arm(arm, "test_accuracy"),
                   own ? Cell("-") : mean_of_arm(arm, gap),
                   own ? Cell("-") : interval_of_arm(arm, gap)});
  }
  if (!comparison.linear_test.empty()) {
    const auto accuracy = style_of_measure("test_accuracy");
    table.add_row({kLinear, "-", number_cell(mean_of(comparison.linear_train), accuracy), "-", "-",
                   number_cell(mean_of(comparison.linear_test), accuracy), "-", "-", "-"});
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
    add(kLinear, "training", {data.comparison->linear_train});
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
    std::vector<Cell> row = {title_of(name)};
    for (const ArmData& arm : comparison.arms) {
      row.push_back(mean_cell(measure_of(arm, name), style_of_measure(name)));
    }
    table.add_row(row);
  }
  return table.empty()
             ? Html{}
             : fill("details", {{"summary", "Every other measure"}, {"body", table.html()}});
}

LineChart chart_of_measure(const AblationData& ablation, const std::string& name,
                           const std::vector<MeasuredData>& measures) {
  const MeasureStyle style = style_of_measure(name);
  LineChart chart;
  chart.title = style.title;
  chart.x = {ablation.key, false};
  // The unit stands in brackets at the title's end, if there is one.
  const size_t unit = style.title.rfind(" (");
  if (unit != std::string::npos) {
    chart.title = style.title.substr(0, unit);
    chart.y.label = style.title.substr(unit + 2, style.title.size() - unit - 3);
  }
  chart.categories = ablation.values;
  ChartSeries series;
  series.style = ChartSeries::Style::kPoints;
  bool intervals = false, spreads = false;
  for (const MeasuredData& measured : measures) intervals = intervals || measured.interval;
  for (size_t i = 0; i < measures.size(); ++i) {
    const MeasuredData& measured = measures[i];
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(style.scale * measured.mean);
    const double below = intervals ? (measured.interval ? measured.interval->first : std::nan(""))
                                   : measured.mean - measured.std;
    const double above = intervals ? (measured.interval ? measured.interval->second : std::nan(""))
                                   : measured.mean + measured.std;
    series.low.push_back(style.scale * below);
    series.high.push_back(style.scale * above);
    spreads = spreads || std::isfinite(below);
  }
  series.label = intervals ? "mean and 95 % interval"
                 : spreads ? "mean and one standard deviation"
                           : "mean";
  chart.series = {series};
  return chart;
}

}  // namespace

Html comparison_results(const ReportData& data) {
  const ComparisonData& comparison = *data.comparison;
  Html body = fill("results-intro");
  body += table_of_accuracies(comparison);
  body += table_of_losses(comparison);
  body += table_by_measures(
      "With the task withheld, and how tasks separate (layer 0)", comparison,
      {"blind_accuracy", "blind_accuracy_drop", "separation_index", "blind_separation_index"});
  body += table_by_task(data);
  body +=
      table_of_the_rest(comparison, {"train_accuracy", "test_accuracy", "train_loss", "test_loss",
                                     "blind_accuracy", "blind_accuracy_drop", "separation_index",
                                     "blind_separation_index", "test_accuracy_gap_to_baseline"});
  return body;
}

Html ablation_results(const AblationData& ablation, FigureSet& figures) {
  Html body = fill("ablation-intro", {{"key", ablation.key}});
  Html pictures;
  std::vector<Column> columns = {{ablation.key, true}};
  std::vector<std::vector<Cell>> rows;
  for (const std::string& value : ablation.values) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    rows.push_back({Cell(value, *end == '\0' && !value.empty() ? number : std::nan(""))});
  }
  for (const auto& [name, measures] : ablation.measures) {
    bool known = false;
    for (const MeasuredData& measured : measures) known = known || std::isfinite(measured.mean);
    if (!known) continue;
    const MeasureStyle style = style_of_measure(name);
    columns.push_back({style.title});
    for (size_t i = 0; i < measures.size(); ++i) rows[i].push_back(mean_cell(measures[i], style));
    pictures +=
        figures.add("ablation_" + name, line_chart_svg(chart_of_measure(ablation, name, measures)));
  }
  HtmlTable table(
      "Every measure by " + ablation.key + ": mean ± sample standard deviation over seeds",
      columns);
  for (const auto& row : rows) table.add_row(row);
  body += fill("figures", {{"figures", pictures}});
  body += table.html();
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
