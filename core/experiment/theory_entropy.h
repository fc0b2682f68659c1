// Theorem 2 (Eq. 36 to 44): the structural entropy falls and stays above zero.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/statistics.h"
#include "experiment/theory.h"
#include "experiment/theory_link.h"
#include "experiment/theory_run.h"

namespace cdsp {

/// N^2 of a simulated network, N = 8.
inline constexpr int64_t kSimulatedLinks = 64;

/// Structural entropy of simulated networks: half of the links under conflict,
/// half under synergy of the same size.
struct EntropyPaths {
  std::vector<double> steps, mean, standard_error;  // over networks, in bits
  std::vector<std::vector<double>> networks;        // [network][record], in bits
  /// Change of the mean from one tenth of the time to the next, paired by network, with the
  /// interval of each such that all of them together hold 95 times of 100.
  std::vector<double> changes;
  std::vector<Interval> change_intervals;
  /// Over the last third of the records, averaged over time, then over networks.
  double late_mean = 0, late_error = 0;
};

/// `dynamics` is the link under conflict; plan.paths links in all, in whole networks of 64.
EntropyPaths simulate_entropy(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                              const PathPlan& plan);

/// Mean of H_b(sigma(A)) in bits under the density proportional to exp(-E(A)/T), by quadrature on
/// |A| <= 60. The energy must confine: E must rise on both sides.
double gibbs_entropy(const LinkDynamics& dynamics, double temperature);

TheorySection verify_entropy(const TheoryOptions& options, const TheoryRun* run);

}  // namespace cdsp
