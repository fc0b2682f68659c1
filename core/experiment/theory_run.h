// What a finished CDSP run's files tell of the theory: at the end of every epoch sigma(A) and the
// epoch's mean C, and the structural entropy at every logged step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "config/config.h"

namespace cdsp {

using LinkMatrices = std::vector<std::vector<std::vector<double>>>;  // [layer][N][N]

struct TheoryEpoch {
  int64_t epoch = 0;
  LinkMatrices links;     // sigma(A) at the epoch's end
  LinkMatrices conflict;  // C, mean over the epoch's steps; a pair that does not count adds 0
};

struct TheoryRun {
  std::filesystem::path folder;
  Config config;
  std::vector<TheoryEpoch> epochs;
  std::vector<double> steps, entropy;  // of the logged steps; entropy in bits, over all layers

  int64_t experts() const { return config.moe.num_experts; }
  /// L N^2, the entropy at A = 0.
  double most_entropy() const;
};

/// Throws InputError naming the file: no run, not finished, another variant, or not readable.
TheoryRun read_theory_run(const std::filesystem::path& folder);

/// |S_i and S_j| of one layer from its sigma(A) rows (Eq. 4, 5).
std::vector<std::vector<int64_t>> shared_columns(const std::vector<std::vector<double>>& links,
                                                 int64_t d_base, int64_t rank);

}  // namespace cdsp
