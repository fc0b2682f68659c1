#include "report/page/curves.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "report/page/html_table.h"
#include "report/text_table.h"

namespace cdsp::page {
namespace {

using Pairs = std::vector<std::pair<double, double>>;

/// More points than a curve of 400 pixels can show are averaged in groups.
constexpr size_t kMostPoints = 300;

MeasuredData spread_of_values(const std::vector<double>& values) {
  MeasuredData spread;
  spread.seeds = static_cast<int64_t>(values.size());
  spread.mean = spread.std = std::nan("");
  if (values.empty()) return spread;
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const auto count = static_cast<double>(values.size());
  spread.mean = sum / count;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.std = std::sqrt(squares / (count - 1));
  return spread;
}

Pairs pairs_of(const RunData& run, const CurveSource& source) {
  const bool epochs = source.table == CurveSource::Table::kEpochs;
  const CsvTable& table = epochs ? run.epochs : run.metrics;
  Pairs pairs;
  if (!table.find(source.column)) return pairs;
  const auto x = table.numbers(epochs ? "epoch" : "step");
  const auto y = table.numbers(source.column);
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(y[i])) pairs.emplace_back(x[i], source.scale * y[i]);
  }
  if (pairs.size() <= kMostPoints) return pairs;
  const size_t group = (pairs.size() + kMostPoints - 1) / kMostPoints;
  Pairs means;
  for (size_t start = 0; start < pairs.size(); start += group) {
    const size_t end = std::min(start + group, pairs.size());
    double sum = 0;
    for (size_t i = start; i < end; ++i) sum += pairs[i].second;
    means.emplace_back(pairs[end - 1].first, sum / static_cast<double>(end - start));
  }
  return means;
}

struct CurveFigure {
  const char* file;
  const char* title;
  ChartAxis y;
  CurveSource source;
};

std::vector<CurveFigure> curve_figures() {
  using Table = CurveSource::Table;
  const ChartAxis accuracy = {"accuracy (%)", false, false, 0.0, 100.0};
  const ChartAxis loss = {"cross entropy (nats)", false, false, 0.0, {}};
  return {
      {"accuracy_train", "Training accuracy", accuracy, {Table::kEpochs, "train_accuracy", 100}},
      {"accuracy_test", "Test accuracy", accuracy, {Table::kEpochs, "test_accuracy", 100}},
      {"loss_train", "Training loss", loss, {Table::kEpochs, "train_loss", 1}},
      {"loss_test", "Test loss", loss, {Table::kEpochs, "test_loss", 1}},
      {"alpha_sparsity",
       "Alpha sparsity",
       {"share of links with σ(A) < 0.1", false, false, 0.0, 1.0},
       {Table::kSteps, "alpha_sparsity", 1}},
      {"structural_entropy",
       "Structural entropy",
       {"bits, summed over links and layers", false, false, 0.0, {}},
       {Table::kSteps, "structural_entropy", 1}},
      {"loss_conflict",
       "Conflict term, before its weight",
       {"Σ f(A)·C, summed over layers"},
       {Table::kSteps, "loss_conflict", 1}}};
}

/// Epoch by epoch, what the curves show.
Html table_of_epochs(const ReportData& data) {
  const std::vector<std::string> measures = {"train_accuracy", "test_accuracy", "train_loss",
                                             "test_loss"};
  std::vector<Column> columns = {{"Arm", false}, {"Epoch"}};
  for (const std::string& measure : measures) columns.push_back({style_of_measure(measure).title});
  HtmlTable table("Learning curves in numbers: mean ± sample standard deviation over seeds",
                  columns);
  for (const std::string& arm : data.arms()) {
    std::map<double, std::vector<Cell>> rows;
    for (size_t m = 0; m < measures.size(); ++m) {
      std::map<double, std::vector<double>> values;
      for (const RunData* run : data.runs_of(arm)) {
        for (const auto& [x, y] : pairs_of(*run, {CurveSource::Table::kEpochs, measures[m], 1})) {
          values[x].push_back(y);
        }
      }
      for (const auto& [epoch, of_seeds] : values) {
        auto& row = rows[epoch];
        if (row.empty()) {
          row = {{arm_title(arm)}, {fixed_number(epoch, 0), epoch}};
          row.resize(columns.size(), Cell("-"));
        }
        row[m + 2] = mean_cell(spread_of_values(of_seeds), style_of_measure(measures[m]));
      }
    }
    for (const auto& [epoch, row] : rows) table.add_row(row);
  }
  return table.empty() ? Html{}
                       : fill("details", {{"summary", "The curves by epoch, as a table"},
                                          {"body", table.html()}});
}

/// A single run's accuracies task by task.
Html task_chart(const RunData& run, FigureSet& figures) {
  LineChart chart;
  chart.title = "Test accuracy by task";
  chart.x = {"epoch", false, true};
  chart.y = {"accuracy (%)", false, false, 0.0, 100.0};
  for (const std::string& task : run.tasks) {
    auto series = curve_of({&run}, {CurveSource::Table::kEpochs, "test_accuracy_" + task, 100},
                           task, chart.series.size());
    if (!series.x.empty()) chart.series.push_back(series);
  }
  return chart.series.empty() ? Html{} : figures.add("accuracy_test_by_task", curves_svg(chart));
}

}  // namespace

ChartSeries curve_over_runs(const std::vector<Pairs>& values, const std::string& label,
                            size_t colour) {
  std::map<double, std::vector<double>> by_x;
  for (const Pairs& pairs : values) {
    for (const auto& [x, y] : pairs) by_x[x].push_back(y);
  }
  ChartSeries series;
  series.label = label;
  series.colour = colour;
  bool spread_known = false;
  for (const auto& [x, of_runs] : by_x) {
    const MeasuredData spread = spread_of_values(of_runs);
    series.x.push_back(x);
    series.y.push_back(spread.mean);
    series.low.push_back(spread.mean - spread.std);
    series.high.push_back(spread.mean + spread.std);
    spread_known = spread_known || std::isfinite(spread.std);
  }
  if (!spread_known) {
    series.low.clear();
    series.high.clear();
  }
  return series;
}

ChartSeries curve_of(const std::vector<const RunData*>& runs, const CurveSource& source,
                     const std::string& label, size_t colour) {
  std::vector<Pairs> values;
  values.reserve(runs.size());
  for (const RunData* run : runs) values.push_back(pairs_of(*run, source));
  return curve_over_runs(values, label, colour);
}

LineChart chart_of_arms(const ReportData& data, const CurveSource& source, const std::string& title,
                        const ChartAxis& y) {
  LineChart chart;
  chart.title = title;
  chart.x.label = source.table == CurveSource::Table::kEpochs ? "epoch" : "step";
  chart.x.whole = true;
  chart.y = y;
  size_t colour = 0;
  bool bands = false;
  for (const std::string& arm : data.arms()) {
    ChartSeries series = curve_of(data.runs_of(arm), source, arm_title(arm), colour++);
    const bool all_zero =
        std::all_of(series.y.begin(), series.y.end(), [](double value) { return value == 0.0; });
    // A term that an arm does not have is written as 0 throughout.
    if (series.x.empty() || (all_zero && source.column == "loss_conflict")) continue;
    bands = bands || !series.low.empty();
    chart.series.push_back(std::move(series));
  }
  if (bands) chart.subtitle = "Mean and one standard deviation over seeds";
  return chart;
}

std::string curves_svg(const LineChart& chart) {
  return chart.series.size() > kMostSeriesTogether ? panel_chart_svg(chart) : line_chart_svg(chart);
}

Html curves_section(const ReportData& data, FigureSet& figures) {
  Html pictures;
  for (const CurveFigure& figure : curve_figures()) {
    const LineChart chart = chart_of_arms(data, figure.source, figure.title, figure.y);
    if (!chart.series.empty()) pictures += figures.add(figure.file, curves_svg(chart));
  }
  if (data.runs.size() == 1) pictures += task_chart(data.runs.front(), figures);
  if (pictures.empty()) return fill("paragraph", {{"text", "No run has written a curve yet."}});
  Html body = fill("curves-intro");
  body += fill("figures", {{"figures", pictures}});
  body += table_of_epochs(data);
  return body;
}

}  // namespace cdsp::page
