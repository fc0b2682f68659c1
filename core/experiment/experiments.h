// The three experiments of the comparison, each a folder of CSV files with an experiment.json that
// says what they are and holds the tables to show:
//   experiments/1_emergent_modularity      arm cdsp: what its routing and topology become
//   experiments/2_instruction_overfitting  arm baseline: told the task against not told
//   experiments/3_necessity_of_conflict    every arm against cdsp, where they differ by one cause
#pragma once

#include <filesystem>
#include <vector>

#include "experiment/comparison.h"

namespace cdsp {

/// Writes those whose arms the comparison has and removes the others; returns their folders. Throws
/// InputError naming the file if a run's folder lacks one.
std::vector<std::filesystem::path> write_experiments(const Comparison& comparison,
                                                     const std::filesystem::path& out);

}  // namespace cdsp
