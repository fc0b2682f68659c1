// Who made the runs of a comparison or an ablation, and who its tables.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "experiment/comparison.h"
#include "experiment/run_plan.h"

namespace cdsp {

/// Data, the program that made the tables (this one), and of the runs every commit, version, device
/// and engine that made some, with the runs' names where they differ.
std::vector<std::pair<std::string, std::string>> provenance_of(
    const std::string& data_fingerprint, const std::vector<ComparedRun>& runs);

/// A sentence where the runs are of different commits or engines: allowed, but to be known.
std::vector<std::string> notes_on_makers(const std::vector<ComparedRun>& runs);
/// The same of a plan, in which every run that is not finished will be of this program.
std::vector<std::string> notes_on_makers(const std::vector<PlannedRun>& runs);

/// A sentence that names the runs in `out` which are not among these; empty if there are none.
std::vector<std::string> notes_on_other_runs(const std::vector<ComparedRun>& runs,
                                             const std::filesystem::path& out);

}  // namespace cdsp
