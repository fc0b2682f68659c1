#include "report/report_data.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"

namespace cdsp::page {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNoBlindEvaluation =
    "there is no blind evaluation (cdsp blind-eval --run makes it), so routing with the task "
    "withheld is not shown";

/// The runs' sentences, each once, with the runs that it holds for.
std::vector<std::string> missing_of_runs(const std::vector<RunData>& runs) {
  std::vector<std::pair<std::string, std::string>> sentences;
  for (const RunData& run : runs) {
    const std::string name = run.arm + " seed " + std::to_string(run.seed);
    std::vector<std::string> of_run = run.missing;
    // Known only now: a comparison brings its own evaluation.
    if (run.blind.empty()) of_run.emplace_back(kNoBlindEvaluation);
    for (const std::string& sentence : of_run) {
      const auto known = std::find_if(sentences.begin(), sentences.end(),
                                      [&](const auto& entry) { return entry.first == sentence; });
      if (known == sentences.end()) {
        sentences.emplace_back(sentence, name);
      } else {
        known->second += ", " + name;
      }
    }
  }
  std::vector<std::string> missing;
  missing.reserve(sentences.size());
  for (const auto& [sentence, names] : sentences) {
    missing.push_back(names);
    missing.back().append(": ").append(sentence).append(".");
  }
  return missing;
}

}  // namespace

std::vector<std::string> ReportData::arms() const {
  std::vector<std::string> names;
  if (comparison) {
    for (const ArmData& arm : comparison->arms) names.push_back(arm.name);
  }
  for (const RunData& run : runs) {
    if (std::find(names.begin(), names.end(), run.arm) == names.end()) names.push_back(run.arm);
  }
  return names;
}

std::vector<const RunData*> ReportData::runs_of(const std::string& arm) const {
  std::vector<const RunData*> found;
  for (const RunData& run : runs) {
    if (run.arm == arm) found.push_back(&run);
  }
  return found;
}

const RunData* ReportData::shown_run(const std::string& arm) const {
  for (const RunData* run : runs_of(arm)) {
    if (!run->tables.empty()) return run;
  }
  return nullptr;
}

const ExperimentData* ReportData::experiment(const std::string& start) const {
  for (const ExperimentData& candidate : experiments) {
    if (candidate.id.rfind(start, 0) == 0) return &candidate;
  }
  return nullptr;
}

ReportData read_report_data(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw InputError(folder.string() + ": is not a folder");
  ReportData data;
  data.folder = folder;
  if (fs::exists(folder / "comparison.json")) {
    ComparedRuns compared;
    data.comparison = read_comparison(folder, compared);
    data.runs = std::move(compared.runs);
    data.accuracies = std::move(compared.accuracies);
    data.experiments = read_experiments(folder);
    if (data.experiments.empty()) {
      data.missing.emplace_back(
          "There is no folder experiments beside comparison.json, so the tables of the three "
          "experiments are left out.");
    }
  }
  if (fs::exists(folder / "ablation.json")) {
    data.ablation = read_ablation(folder, data.runs);
  }
  if (!data.comparison && !data.ablation && fs::exists(folder / "config.yaml")) {
    data.runs.push_back(read_run(folder));
  }
  if (fs::exists(folder / "claims.json")) {
    data.claims = read_claims(folder / "claims.json");
  } else if (data.comparison) {
    data.missing.emplace_back(
        "There is no claims.json beside comparison.json, so the paper's claims are not judged.");
  }
  if (fs::exists(folder / "theory.json")) data.theory = read_theory(folder / "theory.json");
  if (data.runs.empty() && !data.comparison && !data.ablation && !data.claims && !data.theory) {
    throw InputError(folder.string() +
                     ": holds nothing to report; a run (config.yaml), comparison.json, "
                     "ablation.json, claims.json or theory.json is needed");
  }
  for (std::string& sentence : missing_of_runs(data.runs)) {
    data.missing.push_back(std::move(sentence));
  }
  return data;
}

}  // namespace cdsp::page
