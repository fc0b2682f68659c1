#include "experiment/provenance.h"

#include <algorithm>

#include "experiment/fingerprint.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kUnknown = "unknown";

struct Fact {
  const char* name;
  std::string RunMaker::*value;
};
constexpr Fact kFacts[] = {{"commit", &RunMaker::commit},
                           {"cdsp", &RunMaker::cdsp},
                           {"libtorch", &RunMaker::libtorch},
                           {"device", &RunMaker::device},
                           {"engine", &RunMaker::engine}};

/// A run by its name, and who made it.
struct MadeRun {
  std::string name;
  RunMaker maker;
};

std::vector<MadeRun> made_runs(const std::vector<ComparedRun>& runs) {
  std::vector<MadeRun> made;
  for (const ComparedRun& run : runs)
    made.push_back({run.arm + " seed " + std::to_string(run.seed), run.maker});
  return made;
}

std::vector<MadeRun> made_runs(const std::vector<PlannedRun>& runs) {
  std::vector<MadeRun> made;
  for (const PlannedRun& run : runs) {
    const bool stays = run.state == RunState::kFinished;
    made.push_back({run.name(), stays ? run.maker.value_or(RunMaker()) : this_program()});
  }
  return made;
}

/// The values of a fact in the order they come, each with the names of its runs.
using Groups = std::vector<std::pair<std::string, std::vector<std::string>>>;

Groups groups_of(const std::vector<MadeRun>& runs, const Fact& fact) {
  Groups groups;
  for (const MadeRun& run : runs) {
    const std::string& said = run.maker.*fact.value;
    const std::string value = said.empty() ? kUnknown : said;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& known) { return known.first == value; });
    if (group == groups.end()) group = groups.insert(groups.end(), {value, {}});
    group->second.push_back(run.name);
  }
  return groups;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// "A"; where the runs differ "A (baseline seed 0, cdsp seed 0); B (cdsp seed 1)".
std::string text_of(const Groups& groups) {
  if (groups.size() == 1) return groups.front().first;
  std::string text;
  for (const auto& [value, names] : groups)
    text += (text.empty() ? "" : "; ") + value + " (" + joined(names) + ")";
  return text;
}

std::vector<std::string> notes_on_makers_of(const std::vector<MadeRun>& runs) {
  std::vector<std::string> notes;
  for (const Fact& fact : {kFacts[0], kFacts[4]}) {
    Groups groups = groups_of(runs, fact);
    if (std::string(fact.name) == "engine") {
      // Runs of before the engine was noted say nothing of it.
      groups.erase(std::remove_if(groups.begin(), groups.end(),
                                  [](const auto& group) { return group.first == kUnknown; }),
                   groups.end());
    }
    if (groups.size() < 2) continue;
    notes.push_back("The runs were made by different " + std::string(fact.name) +
                    "s: " + text_of(groups) + ".");
  }
  return notes;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> provenance_of(
    const std::string& data_fingerprint, const std::vector<ComparedRun>& runs) {
  const RunMaker here = this_program();
  std::vector<std::pair<std::string, std::string>> provenance = {
      {"data_fingerprint", data_fingerprint}, {"results_version", std::to_string(kResultsVersion)}};
  for (const Fact& fact : kFacts) {
    const std::string& value = here.*fact.value;
    if (!value.empty()) provenance.emplace_back(std::string("tables_made_by_") + fact.name, value);
  }
  for (const Fact& fact : kFacts) {
    provenance.emplace_back(std::string("runs_made_by_") + fact.name,
                            text_of(groups_of(made_runs(runs), fact)));
  }
  return provenance;
}

std::vector<std::string> notes_on_makers(const std::vector<ComparedRun>& runs) {
  return notes_on_makers_of(made_runs(runs));
}

std::vector<std::string> notes_on_makers(const std::vector<PlannedRun>& runs) {
  return notes_on_makers_of(made_runs(runs));
}

std::vector<std::string> notes_on_other_runs(const std::vector<ComparedRun>& runs,
                                             const fs::path& out) {
  std::vector<std::string> others;
  std::error_code none;
  for (const auto& arm : fs::directory_iterator(out, none)) {
    if (!arm.is_directory()) continue;
    for (const auto& seed : fs::directory_iterator(arm.path(), none)) {
      if (!fs::exists(seed.path() / "config.yaml")) continue;
      const bool used = std::any_of(runs.begin(), runs.end(), [&](const ComparedRun& run) {
        return fs::equivalent(run.folder, seed.path(), none);
      });
      if (!used)
        others.push_back((arm.path().filename() / seed.path().filename()).generic_string());
    }
  }
  if (others.empty()) return {};
  std::sort(others.begin(), others.end());
  return {"The folder also holds runs that are not part of this: " + joined(others) + "."};
}

}  // namespace cdsp
