// Reading the tables back that a run wrote (spec section 9).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/csv_table.h"
#include "config/config.h"

namespace cdsp {

/// [layer][row][expert] of a table with the columns layer, a name of the row, expert_0 ...:
/// routing, topology and conflict files. Throws InputError.
std::vector<std::vector<std::vector<double>>> read_layer_tables(const std::filesystem::path& file);

/// FOLDER/epoch_NNN.csv for that epoch.
std::filesystem::path epoch_table(const std::filesystem::path& folder, int64_t epoch);

/// The first of the files that a finished run's folder must hold for a comparison (its blind
/// evaluation aside) and does not; empty if all are there. Throws InputError if epochs.csv is
/// broken.
std::optional<std::filesystem::path> missing_file_of_run(const std::filesystem::path& run,
                                                         const Config& config);

}  // namespace cdsp
