// The report in small, for a terminal.
#include <algorithm>
#include <cmath>

#include "report/figures/axis.h"
#include "report/html_report.h"
#include "report/page/claims_section.h"
#include "report/page/experiments.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

using namespace cdsp::page;

/// The run to show: the method's of a comparison, else the first that has routing.
const RunData* shown_run(const ReportData& data) {
  const RunData* found = nullptr;
  const std::string method = roles_of(data).method;
  for (const RunData& run : data.runs) {
    const bool has_routing = !run.informed.empty() || !run.tables.empty();
    if (has_routing && run.arm == method) return &run;
    if (has_routing && found == nullptr) found = &run;
  }
  return found;
}

std::string heatmaps(const RunData& run, const Terminal& terminal) {
  std::vector<std::pair<std::string, RoutingRows>> tables;
  if (!run.informed.empty()) tables.emplace_back("informed", run.informed.front());
  if (!run.blind.empty()) tables.emplace_back("task withheld", run.blind.front());
  if (tables.empty()) {
    for (auto it = run.tables.rbegin(); it != run.tables.rend() && tables.empty(); ++it) {
      if (it->second.routing.empty()) continue;
      tables.emplace_back("epoch " + std::to_string(it->first), it->second.routing.front());
    }
  }
  double largest = 0;
  for (const auto& [name, rows] : tables) largest = std::max(largest, largest_share(rows));
  std::string text;
  for (const auto& [name, rows] : tables) {
    std::vector<std::string> tasks = run.tasks;
    tasks.resize(rows.size());
    text += arm_title(run.arm) + ", seed " + std::to_string(run.seed) + ", layer 0, " + name +
            "\n" + terminal_heatmap(rows, tasks, largest, terminal) + "\n";
  }
  return text;
}

std::string interval_text(const ShownInterval& interval) {
  if (!interval) return "-";
  return short_number(interval->first) + " to " + short_number(interval->second);
}

}  // namespace

std::string claims_text(const ClaimsData& claims) {
  TextTable table({"claim", "estimate", short_number(100 * claims.confidence) + " % interval",
                   "needed", "verdict"});
  for (const ClaimData& claim : claims.claims) {
    table.add_row({claim.id + "  " + claim.title, "", "", "", claim.verdict});
    for (const IntervalRow& part : claim.parts) {
      const std::string unit = part.unit.empty() ? "" : " (" + part.unit + ")";
      const std::string needed = part.threshold ? needed_in_words(part) : "-";
      table.add_row({"    " + part.label + unit, estimate_in_words(part),
                     interval_text(part.judged), needed, part.verdict});
    }
  }
  std::string sentences;
  for (const ClaimData& claim : claims.claims) sentences += claim.id + "  " + claim.sentence + "\n";
  return table.text() + "\n" + sentences + "\n" + verdicts_in_words(claims) + "\n";
}

std::string report_text(const ReportData& data, const Terminal& terminal) {
  std::string text;
  const RunData* run = shown_run(data);
  if (run != nullptr) text += heatmaps(*run, terminal);
  if (data.claims) text += claims_text(*data.claims) + "\n";
  return text;
}

}  // namespace cdsp
