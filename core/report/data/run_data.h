// What a run's folder (spec section 9) holds, as far as it goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/csv_table.h"
#include "eval/routing_measures.h"

namespace cdsp::page {

/// One matrix a layer.
using Layers = std::vector<RoutingRows>;

/// The tables of one epoch; empty where the run has none (no topology without CDSP's layer).
struct EpochTables {
  Layers routing, topology, conflict;
};

using KeyValues = std::vector<std::pair<std::string, std::string>>;

struct RunData {
  std::string arm;  // what the run is called in curves and tables
  uint64_t seed = 0;
  std::filesystem::path folder;
  std::string status, message;  // of run.json; "" if there is none
  KeyValues provenance;         // what run.json says, by name
  KeyValues config;             // every key with its value
  std::vector<std::string> tasks;
  CsvTable metrics, epochs;               // empty if there are none yet
  std::map<int64_t, EpochTables> tables;  // by epoch
  Layers rank_overlap;                    // |S_i and S_j| / r at the end; empty if unknown
  /// Routing over all test images, the task told and withheld; empty without a blind evaluation.
  Layers informed, blind;
  std::map<std::string, double> results;  // the summary's figures by name
  std::vector<std::string> missing;       // sentences about what is not there

  std::string variant() const { return config_value("variant"); }
  /// "" if there is no such key.
  std::string config_value(const std::string& key) const;
};

/// Throws InputError naming the file if one is broken. `folder` must hold config.yaml.
RunData read_run(const std::filesystem::path& folder);

}  // namespace cdsp::page
