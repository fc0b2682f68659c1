// The runs of a plan as a table: what --dry-run prints.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "experiment/run_queue.h"

namespace cdsp {

/// A warning where the runs will be of different programs, as their tables will have it; a line per
/// run with what would be done, its steps and, where a run has been timed, how long that takes;
/// then the whole.
std::string plan_text(const RunPlan& plan, const JobShare& share);

nlohmann::ordered_json plan_json(const RunPlan& plan, const JobShare& share);

}  // namespace cdsp
