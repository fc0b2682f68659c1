// experiments/*: the comparison's three experiments, as their folders hold them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/data/table_data.h"

namespace cdsp::page {

/// CDSP minus an arm at the same seeds.
struct PairedDifference {
  std::string arm, measure;
  int64_t seeds = 0;
  double mean = 0;  // NaN where not defined
  std::optional<std::pair<double, double>> interval;
};

struct ExperimentData {
  std::string id, title, text;
  std::vector<TableData> tables;
  std::vector<PairedDifference> differences;  // of differences.csv; empty if there is none
};

/// The experiments below FOLDER/experiments in the order of their names; none if there is no such
/// folder. Throws InputError naming the file that is broken.
std::vector<ExperimentData> read_experiments(const std::filesystem::path& folder);

}  // namespace cdsp::page
