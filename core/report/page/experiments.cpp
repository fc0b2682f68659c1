#include "report/page/experiments.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "report/page/arm_charts.h"
#include "report/page/claims_section.h"
#include "report/page/curves.h"
#include "report/page/explorer.h"
#include "report/page/html_table.h"
#include "report/page/routing_pictures.h"

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
  chart.x.label = "epoch";
  chart.x.whole = true;
  for (const ChartSeries& series : chart.series) {
    if (!series.low.empty()) chart.subtitle = "Mean and one standard deviation over seeds";
  }
}

/// Arms that are never told a task, in training or after: with them "informed" means nothing.
std::set<std::string> never_told(const ReportData& data) {
  std::set<std::string> names;
  for (const ArmData& arm : data.comparison->arms) {
    if (arm.variant == "blind") names.insert(arm.name);
  }
  return names;
}

/// How the distances between tasks and the separation index move with the epochs.
Html separation_charts(const ReportData& data, const std::string& arm, FigureSet& figures) {
  const auto runs = data.runs_of(arm);
  LineChart distances;
  distances.title = "Distance of tasks in routing, " + arm_title(arm);
  distances.y.label = "Jensen-Shannon divergence (bits), layer 0";
  distances.y.least = 0;
  distances.y.most = 1;
  const auto& tasks = data.comparison->tasks;
  if (tasks.size() == 3) {
    for (auto& series : {curve_of_routing(runs, symbols_apart, tasks[0] + " and " + tasks[1], 0),
                         curve_of_routing(runs, object_apart, tasks[1] + " and " + tasks[2], 1)}) {
      if (!series.x.empty()) distances.series.push_back(series);
    }
  }
  LineChart separation;
  separation.title = "Separation index, informed";
  separation.y.label = "bits, layer 0";
  separation.thresholds = {0.0};
  size_t colour = 0;
  const std::set<std::string> left_out = never_told(data);
  for (const std::string& name : data.arms()) {
    auto series = curve_of_routing(data.runs_of(name), separation_index, arm_title(name), colour++);
    if (!series.x.empty() && left_out.count(name) == 0) separation.series.push_back(series);
  }
  Html pictures;
  if (!distances.series.empty()) {
    finish(distances);
    pictures += figures.add("task_distances_" + arm, curves_svg(distances));
  }
  if (!separation.series.empty()) {
    finish(separation);
    pictures += figures.add("separation_index_by_epoch", curves_svg(separation));
  }
  return pictures.empty() ? Html{} : fill("pair", {{"figures", pictures}});
}

/// An experiment's tables as its folder holds them.
Html tables_of(const ReportData& data, const std::string& id) {
  Html body;
  const ExperimentData* experiment = data.experiment(id);
  if (experiment == nullptr) return body;
  for (const TableData& table : experiment->tables) body += html_of_table(table);
  return body;
}

Html row_of(const Html& pictures) {
  return pictures.empty() ? Html{} : fill("pair", {{"figures", pictures}});
}

/// Every arm but the baseline, which the second experiment shows, CDSP first.
std::vector<std::string> arms_of_necessity(const ReportData& data, const Roles& roles) {
  std::vector<std::string> arms;
  for (const std::string& arm : data.arms()) {
    if (arm != roles.baseline) arms.push_back(arm);
  }
  std::stable_partition(arms.begin(), arms.end(),
                        [&](const std::string& arm) { return arm == roles.method; });
  return arms;
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
  body += two_stages(data, roles.method, figures);
  body += separation_charts(data, roles.method, figures);
  const Html tables = tables_of(data, "1_");
  if (!tables.empty()) {
    body += fill("details", {{"summary", "By epoch and seed, as tables"}, {"body", tables}});
  }
  const Html slider = explorer(data, roles.method, figures);
  if (!slider.empty()) body += fill("subsection", {{"title", "Epoch by epoch"}, {"body", slider}});
  const Html overlap = overlap_figures(data, roles.method, figures);
  if (!overlap.empty()) {
    body += fill("subsection", {{"title", "Overlap of the experts' subspaces"}, {"body", overlap}});
  }
  return body;
}

Html instruction_overfitting(const ReportData& data, const Roles& roles, FigureSet& figures) {
  Html body = fill("experiment-2");
  body += claim_list(data, {"C5"});
  if (roles.baseline.empty()) return body += missing("A baseline that is told the task");
  body += informed_and_blind(data, {roles.baseline}, figures);
  body += tables_of(data, "2_");
  const ArmMeasure drop = {"blind_accuracy_drop", "What withholding the task costs",
                           "test accuracy, informed minus withheld (points)", 100};
  return body += row_of(chart_by_arm(data, drop, never_told(data), figures));
}

Html necessity_of_conflict(const ReportData& data, const Roles& roles, FigureSet& figures) {
  Html body = fill("experiment-3");
  body += claim_list(data, {"C4", "C6", "C11"});
  for (const auto& [arm, what] :
       {std::make_pair(roles.method, "A CDSP network"),
        std::make_pair(roles.blind, "A baseline that never sees a task"),
        std::make_pair(roles.without_conflict, "A CDSP network without the conflict term")}) {
    if (arm.empty()) body += missing(what);
  }
  const ArmMeasure informed = {"separation_index", "Separation index, informed", "bits, layer 0"};
  const ArmMeasure blind = {"blind_separation_index", "Separation index, task withheld",
                            "bits, layer 0"};
  Html pictures = chart_by_arm(data, informed, never_told(data), figures);
  pictures += chart_by_arm(data, blind, {}, figures);
  pictures += chart_of_differences(data, informed, never_told(data), figures);
  pictures += chart_of_differences(data, blind, {}, figures);
  body += row_of(pictures);
  body += tables_of(data, "3_");
  body += fill("subsection",
               {{"title", "Routing of every arm, the task told and withheld"},
                {"body", informed_and_blind(data, arms_of_necessity(data, roles), figures)}});
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
    if (data.shown_run(arm) == nullptr) continue;
    pairs += informed_and_blind(data, {arm}, figures);
    overlaps += overlap_figures(data, arm, figures);
  }
  body += fill("subsection", {{"title", "The task told and withheld"}, {"body", pairs}});
  if (!overlaps.empty()) {
    body +=
        fill("subsection", {{"title", "Overlap of the experts' subspaces"}, {"body", overlaps}});
  }
  return body;
}

}  // namespace cdsp::page
