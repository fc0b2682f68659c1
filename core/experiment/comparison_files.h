// The files of a comparison: comparison.json and .csv, claims.json, the yardstick's cache.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "data/dataset.h"
#include "experiment/comparison.h"

namespace cdsp {

/// Mean, spread, interval and number of seeds; null where not defined.
nlohmann::ordered_json spread_json(const Spread& spread);

/// "arm" or "value", seed, folder (relative to `out` where it lies below), and every measure.
nlohmann::ordered_json run_json(const ComparedRun& run, const std::filesystem::path& out);

/// The names of the measures that any of the runs has, in order.
std::vector<std::string> measure_names(const std::vector<ComparedRun>& runs);

nlohmann::ordered_json comparison_json(const Comparison& comparison,
                                       const std::filesystem::path& out);
/// A row per run: arm, variant, seed, every measure, accuracies by task.
std::string comparison_csv(const Comparison& comparison);

/// A row per run, protocol, layer and expert: its load and its specialisation H(task | expert) in
/// bits, empty for an expert that nobody selects.
std::string specialisation_csv(const Comparison& comparison);

/// Judges the claims of the paper on the comparison's runs.
nlohmann::ordered_json claims_of(const Comparison& comparison);

/// The linear yardstick for this data: from OUT/linear.json if that was made of the same data in
/// the same way, else trained and kept there. `keep_going` as for linear_probe.
LinearProbeResult cached_linear_probe(const std::filesystem::path& out, const Dataset& data,
                                      int64_t classes,
                                      const std::function<bool(double)>& keep_going);

/// Seconds that call would take, roughly; 0 where its result is kept.
double estimated_probe_seconds(const std::filesystem::path& out, const Dataset& data,
                               int64_t classes);

}  // namespace cdsp
