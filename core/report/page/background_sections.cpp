#include "report/page/background_sections.h"

#include <algorithm>
#include <cstdlib>

#include "report/figures/axis.h"
#include "report/page/html_table.h"

namespace cdsp::page {
namespace {

/// The runs that stand for their arms: the first of each.
std::vector<const RunData*> one_run_an_arm(const ReportData& data) {
  std::vector<const RunData*> runs;
  for (const std::string& arm : data.arms()) {
    const auto of_arm = data.runs_of(arm);
    if (!of_arm.empty() && !of_arm.front()->config.empty()) runs.push_back(of_arm.front());
  }
  return runs;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

Html table_of_differences(const std::vector<const RunData*>& runs) {
  std::vector<Column> columns = {{"Key", false}};
  std::vector<std::string> keys;
  for (const RunData* run : runs) {
    columns.push_back({arm_title(run->arm), false});
    for (const auto& [key, value] : run->config) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
  HtmlTable table("Config keys in which the arms differ", columns);
  for (const std::string& key : keys) {
    if (key == "seed") continue;
    std::vector<Cell> row = {key};
    bool differs = false;
    for (const RunData* run : runs) {
      const std::string value = run->config_value(key);
      differs = differs || value != runs.front()->config_value(key);
      row.emplace_back(or_dash(value));
    }
    if (differs) table.add_row(row);
  }
  return table.empty() ? fill("paragraph", {{"text", "The arms' configs agree in every key."}})
                       : table.html();
}

Html table_of_keys(const RunData& run) {
  HtmlTable table("Every config key of " + arm_title(run.arm), {{"Key", false}, {"Value", false}});
  for (const auto& [key, value] : run.config) table.add_row({key, or_dash(value)});
  return table.html();
}

std::string provenance_value(const RunData& run, const std::string& key) {
  for (const auto& [name, value] : run.provenance) {
    if (name == key) return value;
  }
  return "-";
}

Html mark_of(const std::optional<bool>& holds) {
  if (!holds) return fill("verdict", {{"look", "open"}, {"sign", "≈"}, {"verdict", "open"}});
  return *holds
             ? fill("verdict", {{"look", "supported"}, {"sign", "✓"}, {"verdict", "holds"}})
             : fill("verdict", {{"look", "rejected"}, {"sign", "✗"}, {"verdict", "does not hold"}});
}

}  // namespace

Html config_section(const ReportData& data) {
  const auto runs = one_run_an_arm(data);
  if (runs.empty()) {
    return fill("paragraph", {{"text", "No run's config is there to show."}});
  }
  Html body;
  if (runs.size() > 1) body += table_of_differences(runs);
  const auto method = std::find_if(runs.begin(), runs.end(),
                                   [](const RunData* run) { return run->variant() == "cdsp"; });
  const RunData& shown = method == runs.end() ? *runs.front() : **method;
  body += fill("details", {{"summary", "Every key of " + arm_title(shown.arm)},
                           {"body", table_of_keys(shown)}});
  return body;
}

Html provenance_section(const ReportData& data) {
  Html body;
  if (data.comparison && !data.comparison->provenance.empty()) {
    HtmlTable table("Tables and claims made by", {{"Item", false}, {"Value", false}});
    for (const auto& [key, value] : data.comparison->provenance) {
      table.add_row({key, or_dash(value)});
    }
    body += table.html();
  }
  // Every run's start and wall time; what all runs share, once.
  const std::vector<std::string> columns_wanted = {"status",     "device",   "threads",
                                                   "git_commit", "libtorch", "data_fingerprint",
                                                   "parameters", "start",    "wall_seconds"};
  std::vector<Column> columns = {{"Arm", false},      {"Seed"},
                                 {"Status", false},   {"Device", false},
                                 {"Threads"},         {"Commit", false},
                                 {"LibTorch", false}, {"Data fingerprint", false},
                                 {"Parameters"},      {"Start (UTC)", false},
                                 {"Wall time (s)"}};
  HtmlTable table("Runs", columns);
  for (const RunData& run : data.runs) {
    std::vector<Cell> row = {arm_title(run.arm),
                             Cell(std::to_string(run.seed), static_cast<double>(run.seed))};
    for (const std::string& key : columns_wanted) {
      std::string value = or_dash(provenance_value(run, key));
      char* end = nullptr;
      const double number = std::strtod(value.c_str(), &end);
      const bool numeric = columns[row.size()].numeric && *end == '\0';
      if (numeric && key == "wall_seconds") value = short_number(number, 4);
      row.push_back(numeric ? Cell(value, number) : Cell(value));
    }
    table.add_row(row);
  }
  if (!table.empty()) body += table.html();
  if (data.runs.size() == 1 && !data.runs.front().provenance.empty()) {
    HtmlTable all("run.json", {{"Item", false}, {"Value", false}});
    for (const auto& [key, value] : data.runs.front().provenance) {
      all.add_row({key, or_dash(value)});
    }
    body += fill("details", {{"summary", "Everything that run.json says"}, {"body", all.html()}});
  }
  return body;
}

Html theory_part(const TheoryPart& part, FigureSet& figures) {
  Html body;
  if (!part.text.empty()) body += fill("paragraph", {{"text", part.text}});
  Html findings;
  for (const TheoryFinding& finding : part.findings) {
    findings += fill("finding", {{"verdict", mark_of(finding.holds)},
                                 {"statement", finding.statement},
                                 {"evidence", finding.evidence}});
  }
  if (!findings.empty()) body += fill("claim-list", {{"items", findings}});
  Html charts;
  for (const auto& [id, chart] : part.charts) {
    charts += figures.add("theory_" + part.id + "_" + id, line_chart_svg(chart));
  }
  if (!charts.empty()) body += fill("figures", {{"figures", charts}});
  for (const TableData& table : part.tables) body += html_of_table(table);
  return body;
}

}  // namespace cdsp::page
