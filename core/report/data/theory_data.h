// theory.json: findings, charts and tables, whatever they are about.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/data/table_data.h"
#include "report/figures/line_chart.h"

namespace cdsp::page {

struct TheoryFinding {
  std::string statement, evidence;
  std::optional<bool> holds;  // nothing: open
};

struct TheoryPart {
  std::string id, title, text;
  std::vector<TheoryFinding> findings;
  std::vector<std::pair<std::string, LineChart>> charts;  // with their ids
  std::vector<TableData> tables;
};

using TheoryData = std::vector<TheoryPart>;

/// Throws InputError naming the file.
TheoryData read_theory(const std::filesystem::path& path);

}  // namespace cdsp::page
