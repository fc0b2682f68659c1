// Theorem 2 (Eq. 36 to 44): the structural entropy falls and stays above zero.
#pragma once

#include <cstdint>
#include <vector>

#include "experiment/theory.h"
#include "experiment/theory_link.h"
#include "experiment/theory_run.h"

namespace cdsp {

/// Structural entropy of simulated networks of N^2 links, N = 8: half of the links under conflict,
/// half under synergy of the same size.
struct EntropyPaths {
  std::vector<double> steps, mean, standard_error;  // over networks, in bits
  std::vector<std::vector<double>> networks;        // [network][record], in bits
  /// Largest rise of the mean above its own running minimum, and the standard error there.
  double largest_rise = 0, error_of_rise = 0;
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
