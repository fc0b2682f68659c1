// Lemma 1 (Eq. 23, 24): cosines of independent isotropic gradients in dimension m.
#pragma once

#include <cstdint>
#include <vector>

#include "experiment/theory.h"
#include "experiment/theory_run.h"

namespace cdsp {

/// Cosines of `pairs` pairs of standard normal vectors of that dimension.
std::vector<double> sample_cosines(int64_t dimension, int64_t pairs, uint64_t seed);

/// P(cos < -eps) exactly: (1 + cos) / 2 has the beta distribution with both parameters (m - 1) / 2.
double isotropic_conflict_share(int64_t dimension, double eps);
/// Phi(-eps sqrt(m)), the lemma's law for it.
double normal_conflict_share(int64_t dimension, double eps);
/// E[ReLU(-cos)] exactly: Gamma(m/2) / (2 sqrt(pi) Gamma((m+1)/2)), which tends to 1/sqrt(2 pi m).
double isotropic_mean_conflict(double dimension);

/// The dimension at which isotropic gradients have that mean conflict: 1 / (2 pi C^2).
double effective_dimension(double mean_conflict);

TheorySection verify_lemma1(const TheoryOptions& options, const TheoryRun* run);

}  // namespace cdsp
