// What a run's numbers are made of, so that runs which belong apart are never mixed: its config,
// its data, and the program's way of computing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "experiment/run_directory.h"

namespace cdsp {

/// Raise it with every change after which equal configs on equal data give other numbers, be it by
/// rounding. A run.json without it counts as version 1.
inline constexpr int64_t kResultsVersion = 7;

/// Whether runs that differ in this key are different runs. Not so for keys that change speed only,
/// and for data.root: where the images lie says nothing, the data fingerprint says what they are.
bool shapes_results(const std::string& key);

struct KeyDifference {
  std::string key, found, wanted;
};

/// The keys that shape results and differ, in the order of the config.
std::vector<KeyDifference> differing_keys(const Config& found, const Config& wanted);

/// SHA-256 (64 hexadecimal digits) over the keys that shape results and are not at their defaults,
/// "key: value" a line: so a key that a later program adds leaves the fingerprints of earlier runs
/// as they are.
std::string config_fingerprint(const Config& config);

/// SHA-256 of every file beside the images that decides a run's numbers and that the config names:
/// data.order_file and train.init_from, by key; without those that are gone, and pipes, which
/// cannot be read twice. Throws InputError for one that cannot be read.
std::map<std::string, std::string> input_fingerprints(const Config& config);

/// What makes a run with this config.yaml and run.json (if it has one) another run than the one
/// wanted: "with KEY: FOUND, this one wants WANTED"; empty if nothing does. A file of
/// RunRecord::input_files that is gone makes none: whoever needs it will say so.
std::optional<std::string> mismatch_of_run(const Config& found,
                                           const std::optional<RunRecord>& record,
                                           const Config& wanted,
                                           const std::string& data_fingerprint);

}  // namespace cdsp
