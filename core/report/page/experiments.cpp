#include "report/page/experiments.h"

#include <cmath>

#include "report/page/claims_section.h"
#include "report/page/curves.h"
#include "report/page/explorer.h"

namespace cdsp::page {
namespace {

Html missing(const std::string& what) {
  return fill("paragraph", {{"text", what + " is not among this comparison's arms."}});
}

/// The first arm of that variant, one of the variant's own name before others.
std::string arm_of_variant(const ReportData& data, const std::string& variant) {
  std::string found;
  for (const ArmData& arm : data.comparison->arms) {
    if (arm.variant != variant) continue;
    if (arm.name == variant) return arm.name;
    if (found.empty()) found = arm.name;
  }
  return found;
}

/// Routing of layer 0 at two epochs beside each other: the second, as in the paper, and the last.
Html two_stages(const RunData& run, FigureSet& figures) {
  Html pictures;
  int64_t last = 0;
  for (const auto& [epoch, tables] : run.tables) last = tables.routing.empty() ? last : epoch;
  for (const int64_t epoch : {int64_t{2}, last}) {
    const auto found = run.tables.find(epoch);
    if (found == run.tables.end() || found->second.routing.empty()) continue;
    if (epoch == 2 && last == 2) continue;
    pictures += figures.add(
        "routing_" + run.arm + "_epoch_" + std::to_string(epoch),
        routing_svg(arm_title(run.arm) + ", epoch " + std::to_string(epoch),
                    "Layer 0, all test images, informed, seed " + std::to_string(run.seed),
                    found->second.routing.front(), run.tasks, figures.routing_scale()));
  }
  return pictures.empty() ? Html{} : fill("figures", {{"figures", pictures}});
}

using Measure = double (*)(const RoutingRows&);

double symbols_apart(const RoutingRows& rows) { return jensen_shannon(rows[0], rows[1]); }
double object_apart(const RoutingRows& rows) { return jensen_shannon(rows[1], rows[2]); }

ChartSeries curve_of_routing(const std::vector<const RunData*>& runs, Measure measure,
                             const std::string& label, size_t colour) {
  std::vector<std::vector<std::pair<double, double>>> values;
  for (const RunData* run : runs) {
    values.emplace_back();
    for (const auto& [epoch, tables] : run->tables) {
      if (tables.routing.empty() || tables.routing.front().size() != 3) continue;
      const double value = measure(tables.routing.front());
      if (std::isfinite(value)) values.back().emplace_back(static_cast<double>(epoch), value);
    }
  }
  return curve_over_runs(values, label, colour);
}

void finish(LineChart& chart) {
  chart.x = {"epoch", false};
  for (const ChartSeries& series : chart.series) {
    if (!series.low.empty()) chart.subtitle = "Mean and one standard deviation over seeds";
  }
}

/// How the distances between tasks and the separation index move with the epochs.
Html separation_charts(const ReportData& data, const std::string& arm, FigureSet& figures) {
  const auto runs = data.runs_of(arm);
  LineChart distances;
  distances.title = "Distance of tasks in routing, " + arm_title(arm);
  distances.y = {"Jensen-Shannon divergence (bits), layer 0", false};
  const auto& tasks = data.comparison->tasks;
  if (tasks.size() == 3) {
    for (auto& series : {curve_of_routing(runs, symbols_apart, tasks[0] + " and " + tasks[1], 0),
                         curve_of_routing(runs, object_apart, tasks[1] + " and " + tasks[2], 1)}) {
      if (!series.x.empty()) distances.series.push_back(series);
    }
  }
  LineChart separation;
  separation.title = "Separation index, informed";
  separation.y = {"bits, layer 0", false};
  separation.thresholds = {0.0};
  size_t colour = 0;
  for (const std::string& name : data.arms()) {
    auto series = curve_of_routing(data.runs_of(name), separation_index, arm_title(name), colour++);
    if (!series.x.empty()) separation.series.push_back(series);
  }
  Html pictures;
  if (!distances.series.empty()) {
    finish(distances);
    pictures += figures.add("task_distances_" + arm, line_chart_svg(distances));
  }
  if (!separation.series.empty()) {
    finish(separation);
    pictures += figures.add("separation_index_by_epoch", line_chart_svg(separation));
  }
  return pictures.empty() ? Html{} : fill("figures", {{"figures", pictures}});
}

/// A measure of every arm: seeds as points, and the mean with its interval.
Html chart_by_arm(const ReportData& data, const std::string& measure, const std::string& title,
                  const std::string& unit, double scale, bool zero_line, FigureSet& figures) {
  LineChart chart;
  chart.title = title;
  chart.x = {"arm", false};
  chart.y = {unit, false};
  if (zero_line) chart.thresholds = {0.0};
  ChartSeries mean, seeds;
  mean.label = "mean and 95 % interval";
  seeds.label = "each seed";
  mean.style = seeds.style = ChartSeries::Style::kPoints;
  seeds.colour = 4;
  for (const ArmData& arm : data.comparison->arms) {
    const auto at = static_cast<double>(chart.categories.size());
    chart.categories.push_back(arm_title(arm.name));
    const auto found = arm.measures.find(measure);
    if (found != arm.measures.end()) {
      const auto& interval = found->second.interval;
      mean.x.push_back(at - 0.12);
      mean.y.push_back(scale * found->second.mean);
      mean.low.push_back(interval ? scale * interval->first : std::nan(""));
      mean.high.push_back(interval ? scale * interval->second : std::nan(""));
    }
    for (const RunData* run : data.runs_of(arm.name)) {
      const auto value = run->results.find(measure);
      if (value == run->results.end()) continue;
      seeds.x.push_back(at + 0.12);
      seeds.y.push_back(scale * value->second);
    }
  }
  if (mean.x.empty()) return {};
  chart.series.push_back(mean);
  if (!seeds.x.empty()) chart.series.push_back(seeds);
  return figures.add(measure + "_by_arm", line_chart_svg(chart));
}

Html informed_and_blind_of(const ReportData& data, const std::string& arm, FigureSet& figures) {
  for (const RunData* run : data.runs_of(arm)) {
    if (!run->blind.empty()) return informed_and_blind(*run, figures);
  }
  return fill("paragraph", {{"text", arm_title(arm) + ": there is no blind evaluation to show."}});
}

}  // namespace

Roles roles_of(const ReportData& data) {
  Roles roles;
  if (!data.comparison) return roles;
  roles.method = arm_of_variant(data, "cdsp");
  roles.baseline = arm_of_variant(data, "baseline");
  roles.blind = arm_of_variant(data, "blind");
  for (const ArmData& arm : data.comparison->arms) {
    if (arm.variant != "cdsp" || arm.name == roles.method) continue;
    for (const auto& [key, value] : arm.differs_from_cdsp) {
      const bool zero = !value.empty() && value.find_first_not_of("0.") == std::string::npos;
      if (key == "conflict.lambda" && zero && roles.without_conflict.empty()) {
        roles.without_conflict = arm.name;
      }
    }
  }
  return roles;
}

Html emergent_modularity(const ReportData& data, const Roles& roles, FigureSet& figures) {
  Html body = fill("experiment-1");
  body += claim_list(data, {"C1", "C2", "C3", "C8", "C9"});
  if (roles.method.empty()) return body += missing("A CDSP network");
  const RunData* run = data.shown_run(roles.method);
  if (run != nullptr) body += two_stages(*run, figures);
  body += separation_charts(data, roles.method, figures);
  const Html slider = explorer(data, roles.method, figures);
  if (!slider.empty()) body += fill("subsection", {{"title", "Epoch by epoch"}, {"body", slider}});
  if (run != nullptr && !run->rank_overlap.empty()) {
    body += fill("subsection", {{"title", "Overlap of the experts' subspaces"},
                                {"body", overlap_figures(*run, figures)}});
  }
  return body;
}

Html instruction_overfitting(const ReportData& data, const Roles& roles, FigureSet& figures) {
  Html body = fill("experiment-2");
  body += claim_list(data, {"C5"});
  if (roles.baseline.empty()) return body += missing("A baseline that is told the task");
  body += informed_and_blind_of(data, roles.baseline, figures);
  const Html drop =
      chart_by_arm(data, "blind_accuracy_drop", "What withholding the task costs",
                   "test accuracy, informed minus withheld (points)", 100, true, figures);
  if (!drop.empty()) body += fill("figures", {{"figures", drop}});
  return body;
}

Html necessity_of_conflict(const ReportData& data, const Roles& roles, FigureSet& figures) {
  Html body = fill("experiment-3");
  body += claim_list(data, {"C4", "C6", "C11"});
  const Html chart =
      chart_by_arm(data, "blind_separation_index", "Separation index with the task withheld",
                   "bits, layer 0", 1, true, figures);
  if (!chart.empty()) body += fill("figures", {{"figures", chart}});
  for (const auto& [arm, what] :
       {std::make_pair(roles.method, "A CDSP network"),
        std::make_pair(roles.blind, "A baseline that never sees a task"),
        std::make_pair(roles.without_conflict, "A CDSP network without the conflict term")}) {
    body += arm.empty() ? missing(what) : informed_and_blind_of(data, arm, figures);
  }
  return body;
}

Html routing_section(const ReportData& data, FigureSet& figures) {
  const auto arms = data.arms();
  Html body = fill("routing-intro");
  Html slider = explorer(data, arms.empty() ? "" : arms.front(), figures);
  if (slider.empty()) {
    return fill("paragraph", {{"text",
                               "No run has finished an epoch yet, so there is no routing "
                               "to show."}});
  }
  body += slider;
  Html pairs, overlaps;
  for (const std::string& arm : arms) {
    const RunData* run = data.shown_run(arm);
    if (run == nullptr) continue;
    pairs += informed_and_blind(*run, figures);
    overlaps += overlap_figures(*run, figures);
  }
  body += fill("subsection", {{"title", "The task told and withheld"}, {"body", pairs}});
  if (!overlaps.empty()) {
    body +=
        fill("subsection", {{"title", "Overlap of the experts' subspaces"}, {"body", overlaps}});
  }
  return body;
}

}  // namespace cdsp::page
