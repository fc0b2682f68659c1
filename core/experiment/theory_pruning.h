// Theorem 1 (Eq. 28 to 35): persistent conflict drives p = sigma(A) to 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiment/theory.h"
#include "experiment/theory_link.h"
#include "experiment/theory_run.h"

namespace cdsp {

/// One setting's paths.
struct PruningShares {
  std::vector<double> steps, below_tenth, below_hundredth;  // share of paths with p < 0.1, < 0.01
  double above_nine_tenths = 0;                             // share with p > 0.9 at the end
  double returned = 0;  // of the paths once seen below 0.01, the share later seen above 0.1
  double mean_p = 0;    // at the end
  bool rising =
      false;  // whether below_hundredth still grows: its last quarter against the one before
  std::optional<double> half_time;  // first recorded step with half of the paths below 0.1
};

PruningShares pruning_shares(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                             const PathPlan& plan);
/// The same for pairs of links that compete for a block.
PruningShares pair_pruning_shares(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                                  const PathPlan& plan);

/// One link without noise from A = 0 for up to a million steps.
struct NoiselessFlow {
  std::optional<int64_t> crossing;  // first step with p below 0.01
  double p_at_end = 0;              // where it rests, if it never crosses
};
NoiselessFlow noiseless_flow(LinkDynamics dynamics, LinkOptimizer optimizer, bool in_pairs = false);

/// How many steps a simulation needs before it can tell against "p falls below 0.01": three times
/// what the noiseless flow takes, from 2000 to 40,000; 2000 where the flow never gets there, or not
/// within 40,000 steps.
int64_t pruning_horizon(const NoiselessFlow& flow);

/// Whether 99 % of the paths are below 0.01 at the end. Empty, which is open, where they are not
/// but the flow gets there and the simulation cannot tell against it: it is shorter than the flow
/// needs, or the share still rises.
std::optional<bool> nearly_all_pruned(const PruningShares& shares, const NoiselessFlow& flow);

/// The p below which one step of plain SGD raises E[p], so that p is no super-martingale there: 0
/// if it never does on the grid p = 0.0001 ... 0.9999, 1 if it does up to its end.
double raised_below(const LinkDynamics& dynamics);

TheorySection verify_pruning(const TheoryOptions& options, const TheoryRun* run);

/// The part that needs a run: which of the premises hold on its links, epoch by epoch.
void add_pruning_of_run(TheorySection& section, const TheoryRun& run);

}  // namespace cdsp
