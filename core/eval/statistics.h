// Statistics of one number a seed: mean, spread and 95 % intervals of the mean.
//
// Three intervals, none of which exists for a single seed:
//   Student t           mean -+ t(n-1) * s / sqrt(n); exact for normal values, and the one that
//                       verdicts are passed on
//   bootstrap           bias-corrected and accelerated (BCa; Efron, "Better bootstrap confidence
//                       intervals", JASA 1987), shown beside it; too narrow for few seeds
//   Clopper-Pearson     of a share, for values that are 0 or 1 (Biometrika 1934)
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cdsp {

inline constexpr double kConfidence = 0.95;

struct Interval {
  double low = 0, high = 0;
};

/// NaN without values.
double sample_mean(const std::vector<double>& values);

/// With n - 1 in the denominator; empty for fewer than two values.
std::optional<double> sample_standard_deviation(const std::vector<double>& values);

/// Student's interval of the mean; empty for fewer than two values. A point if all are equal.
std::optional<Interval> student_t_interval(const std::vector<double>& values,
                                           double confidence = kConfidence);

/// Bootstrap interval of the mean from 10,000 resamples of the named random stream
/// (0, RandomPurpose::kBootstrap, `stream`), so that equal values give equal intervals. BCa from
/// three values on where it is defined, else the percentile interval; empty for fewer than two
/// values. A point if all are equal.
std::optional<Interval> bootstrap_interval(const std::vector<double>& values, uint64_t stream = 0,
                                           double confidence = kConfidence);

/// Clopper and Pearson's exact interval of a share, from `successes` of `trials`; empty for fewer
/// than two trials.
std::optional<Interval> clopper_pearson_interval(int64_t successes, int64_t trials,
                                                 double confidence = kConfidence);

/// A measure of one run, with the seed that pairs it with the runs of other arms.
struct SeedValue {
  uint64_t seed = 0;
  double value = 0;
};

/// a - b for every seed that both have, in the order of `a`. NaN where either is NaN.
std::vector<SeedValue> paired_differences(const std::vector<SeedValue>& a,
                                          const std::vector<SeedValue>& b);

/// The values without their seeds.
std::vector<double> values_of(const std::vector<SeedValue>& values);

}  // namespace cdsp
