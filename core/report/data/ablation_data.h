// ablation.json: one config key through several values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "report/data/comparison_data.h"

namespace cdsp::page {

struct AblationData {
  std::string key, config;
  std::vector<std::string> values, tasks;
  std::vector<uint64_t> seeds;
  /// Each measure's name and its figures, one for each value.
  std::vector<std::pair<std::string, std::vector<MeasuredData>>> measures;
};

/// Reads ablation.json in `folder` and adds the runs that it names to `runs`, each an arm
/// "KEY=VALUE". Throws InputError naming the file.
AblationData read_ablation(const std::filesystem::path& folder, std::vector<RunData>& runs);

}  // namespace cdsp::page
