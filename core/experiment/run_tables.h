// Reading the tables back that a run wrote (spec section 9).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/csv_table.h"

namespace cdsp {

/// [layer][row][expert] of a table with the columns layer, a name of the row, expert_0 ...:
/// routing, topology and conflict files. Throws InputError.
std::vector<std::vector<std::vector<double>>> read_layer_tables(const std::filesystem::path& file);

/// FOLDER/epoch_NNN.csv for that epoch.
std::filesystem::path epoch_table(const std::filesystem::path& folder, int64_t epoch);

}  // namespace cdsp
