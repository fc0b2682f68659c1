// One config key at several values.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "report/figures/interval_chart.h"
#include "report/page/html_table.h"
#include "report/page/results_section.h"

namespace cdsp::page {
namespace {

/// The measures that an ablation is made for, in the order to show them.
constexpr const char* kLeading[] = {"separation_index", "blind_separation_index", "alpha_sparsity",
                                    "test_accuracy", "blind_accuracy"};

/// Measures of routing are those of the first layer.
bool is_of_layer_0(const std::string& title) {
  return title.find("informed") != std::string::npos ||
         title.find("task withheld") != std::string::npos;
}

IntervalChart chart_of_measure(const ReportData& data, const std::string& name,
                               const std::vector<MeasuredData>& measures) {
  const AblationData& ablation = *data.ablation;
  const MeasureStyle style = style_of_measure(name, ablation.tasks);
  IntervalChart chart;
  chart.title = style.title.substr(0, style.title.rfind(" ("));
  chart.subtitle = "By " + ablation.key;
  const bool of_routing = is_of_layer_0(style.title) &&
                          name.find("accuracy") == std::string::npos &&
                          name.find("loss") == std::string::npos;
  if (of_routing) chart.subtitle += ", layer 0";
  for (size_t i = 0; i < measures.size(); ++i) {
    IntervalRow row;
    row.label = ablation.values[i];
    row.unit = style.unit;
    row.estimate = style.scale * measures[i].mean;
    if (const auto& interval = measures[i].interval) {
      row.judged = {style.scale * interval->first, style.scale * interval->second};
    }
    if (name.find("separation_index") != std::string::npos) row.threshold = 0.0;
    for (const RunData* run : data.runs_of(ablation.key + "=" + ablation.values[i])) {
      const auto value = run->results.find(name);
      if (value != run->results.end()) row.values.push_back(style.scale * value->second);
    }
    chart.rows.push_back(row);
  }
  return chart;
}

bool is_known(const std::vector<MeasuredData>& measures) {
  return std::any_of(measures.begin(), measures.end(),
                     [](const MeasuredData& measured) { return std::isfinite(measured.mean); });
}

Html table_of_measures(const AblationData& ablation) {
  std::vector<Column> columns = {{ablation.key, true}};
  std::vector<std::vector<Cell>> rows;
  for (const std::string& value : ablation.values) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    rows.push_back({Cell(value, *end == '\0' && !value.empty() ? number : std::nan(""))});
  }
  for (const auto& [name, measures] : ablation.measures) {
    if (!is_known(measures)) continue;
    const MeasureStyle style = style_of_measure(name, ablation.tasks);
    columns.push_back({style.title});
    for (size_t i = 0; i < measures.size(); ++i) rows[i].push_back(mean_cell(measures[i], style));
  }
  HtmlTable table(
      "Every measure by " + ablation.key + ": mean ± sample standard deviation over seeds",
      columns);
  for (const auto& row : rows) table.add_row(row);
  return table.html();
}

}  // namespace

Html ablation_results(const ReportData& data, FigureSet& figures) {
  const AblationData& ablation = *data.ablation;
  Html leading, rest;
  const auto add = [&](Html& pictures, const std::string& name,
                       const std::vector<MeasuredData>& measures) {
    if (!is_known(measures)) return;
    pictures +=
        figures.add("ablation_" + name, interval_chart_svg(chart_of_measure(data, name, measures)));
  };
  for (const char* wanted : kLeading) {
    for (const auto& [name, measures] : ablation.measures) {
      if (name == wanted) add(leading, name, measures);
    }
  }
  for (const auto& [name, measures] : ablation.measures) {
    const bool leads = std::any_of(std::begin(kLeading), std::end(kLeading),
                                   [&name = name](const char* wanted) { return name == wanted; });
    if (!leads) add(rest, name, measures);
  }
  Html body = fill("ablation-intro", {{"key", ablation.key}});
  if (!leading.empty()) body += fill("figures", {{"figures", leading}});
  if (!rest.empty()) {
    body += fill("details", {{"summary", "Charts of every other measure"},
                             {"body", fill("figures", {{"figures", rest}})}});
  }
  return body += table_of_measures(ablation);
}

}  // namespace cdsp::page
