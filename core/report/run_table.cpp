#include "report/run_table.h"

#include <nlohmann/json.hpp>

#include "experiment/provenance.h"
#include "report/comparison_table.h"
#include "report/progress.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

/// Steps that training would still take.
int64_t steps_left(const PlannedRun& run) {
  return run.state == RunState::kFinished ? 0 : run.total_steps - run.steps_done;
}

std::optional<double> training_seconds(const RunPlan& plan, const PlannedRun& run) {
  const auto step = seconds_per_step(plan.runs, run.arm);
  if (!step) return std::nullopt;
  return *step * static_cast<double>(steps_left(run));
}

int64_t count_of(const RunPlan& plan, const std::string& action) {
  int64_t count = 0;
  for (const PlannedRun& run : plan.runs) count += run.action() == action ? 1 : 0;
  return count;
}

}  // namespace

std::string plan_text(const RunPlan& plan, const JobShare& share) {
  const auto total = estimated_seconds(plan.runs, share.jobs);
  std::vector<std::string> heading = {"run", "to do", "steps done", "steps"};
  if (total) heading.emplace_back("training");
  heading.emplace_back("folder");
  TextTable table(heading);
  for (const PlannedRun& run : plan.runs) {
    std::vector<std::string> row = {run.name(), run.action(), std::to_string(run.steps_done),
                                    std::to_string(run.total_steps)};
    if (total) row.push_back(duration_text(training_seconds(plan, run).value_or(0.0)));
    row.push_back(run.folder.string());
    table.add_row(row);
  }
  std::string text = notes_text(notes_on_makers(plan.runs)) + table.text() + "\n" +
                     std::to_string(plan.runs.size()) + " runs:";
  for (const char* action : {"train", "continue", "evaluate", "reuse"}) {
    if (count_of(plan, action) > 0)
      text += " " + std::to_string(count_of(plan, action)) + " to " + action + ",";
  }
  if (count_of(plan, "reuse") == static_cast<int64_t>(plan.runs.size()))
    return text.substr(0, text.size() - 1) + "\n";
  text += " " + std::to_string(share.jobs) + " side by side with " + std::to_string(share.threads) +
          (share.threads == 1 ? " thread each" : " threads each");
  if (total) text += ", about " + duration_text(*total) + " by the runs timed so far";
  return text + "\n";
}

nlohmann::ordered_json plan_json(const RunPlan& plan, const JobShare& share) {
  nlohmann::ordered_json json;
  json["jobs"] = share.jobs;
  json["threads"] = share.threads;
  const auto total = estimated_seconds(plan.runs, share.jobs);
  json["estimated_seconds"] = nullptr;
  if (total) json["estimated_seconds"] = *total;
  for (const PlannedRun& run : plan.runs) {
    json["runs"].push_back({{"arm", run.arm},
                            {"seed", run.config.seed},
                            {"action", run.action()},
                            {"steps_done", run.steps_done},
                            {"steps", run.total_steps},
                            {"folder", run.folder.string()}});
  }
  json["notes"] = notes_on_makers(plan.runs);
  return json;
}

}  // namespace cdsp
