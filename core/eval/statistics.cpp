#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

#include "base/random.h"

namespace cdsp {
namespace {

constexpr int64_t kResamples = 10000;

double count_of(const std::vector<double>& values) { return static_cast<double>(values.size()); }

bool all_equal(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(),
                     [&values](double value) { return value == values.front(); });
}

/// Means of resamples drawn with replacement, in rising order.
std::vector<double> resampled_means(const std::vector<double>& values, uint64_t stream) {
  RandomStream random(0, RandomPurpose::kBootstrap, stream);
  std::vector<double> means(static_cast<size_t>(kResamples));
  for (double& mean : means) {
    double sum = 0.0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[random.below(values.size())];
    mean = sum / count_of(values);
  }
  std::sort(means.begin(), means.end());
  return means;
}

/// The quantile of sorted values, linear between neighbours.
double quantile_of(const std::vector<double>& sorted, double probability) {
  const double place = probability * (count_of(sorted) - 1.0);
  const auto below = static_cast<size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

/// Acceleration of the mean: a sixth of the skewness of its jackknife values.
double acceleration_of(const std::vector<double>& values) {
  const double mean = sample_mean(values);
  double squares = 0.0, cubes = 0.0;
  for (const double value : values) {
    // Leaving a value out moves the mean by (mean - value) / (n - 1); the factor cancels.
    const double influence = value - mean;
    squares += influence * influence;
    cubes += influence * influence * influence;
  }
  return cubes / (6.0 * std::pow(squares, 1.5));
}

/// Share of the resampled means below the mean itself, ties counted half. The order of a sum rounds
/// differently, so what differs by rounding is a tie.
double share_below(const std::vector<double>& sorted, double mean) {
  const double rounding = 1e-9 * (sorted.back() - sorted.front());
  const auto lower = std::lower_bound(sorted.begin(), sorted.end(), mean - rounding);
  const auto upper = std::upper_bound(sorted.begin(), sorted.end(), mean + rounding);
  return (static_cast<double>(lower - sorted.begin()) + 0.5 * static_cast<double>(upper - lower)) /
         count_of(sorted);
}

}  // namespace

double sample_mean(const std::vector<double>& values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  if (all_equal(values)) return values.front();  // no rounding where there is nothing to average
  return std::accumulate(values.begin(), values.end(), 0.0) / count_of(values);
}

std::optional<double> sample_standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const double mean = sample_mean(values);
  double squares = 0.0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count_of(values) - 1.0));
}

std::optional<Interval> student_t_interval(const std::vector<double>& values, double confidence) {
  const std::optional<double> deviation = sample_standard_deviation(values);
  if (!deviation) return std::nullopt;
  const boost::math::students_t student(count_of(values) - 1.0);
  const double reach = boost::math::quantile(student, 0.5 + 0.5 * confidence) * *deviation /
                       std::sqrt(count_of(values));
  const double mean = sample_mean(values);
  return Interval{mean - reach, mean + reach};
}

std::optional<Interval> bootstrap_interval(const std::vector<double>& values, uint64_t stream,
                                           double confidence) {
  if (values.size() < 2) return std::nullopt;
  if (all_equal(values)) return Interval{values.front(), values.front()};
  const std::vector<double> means = resampled_means(values, stream);
  const double tail = 0.5 - 0.5 * confidence;
  const double below = share_below(means, sample_mean(values));
  if (values.size() < 3 || below <= 0.0 || below >= 1.0)
    return Interval{quantile_of(means, tail), quantile_of(means, 1.0 - tail)};
  const boost::math::normal normal;
  const double bias = boost::math::quantile(normal, below);
  const double acceleration = acceleration_of(values);
  const auto adjusted = [&](double probability) {
    const double shifted = bias + boost::math::quantile(normal, probability);
    return boost::math::cdf(normal, bias + shifted / (1.0 - acceleration * shifted));
  };
  return Interval{quantile_of(means, adjusted(tail)), quantile_of(means, adjusted(1.0 - tail))};
}

std::optional<Interval> clopper_pearson_interval(int64_t successes, int64_t trials,
                                                 double confidence) {
  if (trials < 2) return std::nullopt;
  const auto hits = static_cast<double>(successes),
             misses = static_cast<double>(trials - successes);
  const double tail = 0.5 - 0.5 * confidence;
  Interval interval{0.0, 1.0};
  if (successes > 0)
    interval.low =
        boost::math::quantile(boost::math::beta_distribution<>(hits, misses + 1.0), tail);
  if (successes < trials) {
    interval.high =
        boost::math::quantile(boost::math::beta_distribution<>(hits + 1.0, misses), 1.0 - tail);
  }
  return interval;
}

std::vector<SeedValue> paired_differences(const std::vector<SeedValue>& a,
                                          const std::vector<SeedValue>& b) {
  std::vector<SeedValue> differences;
  for (const SeedValue& first : a) {
    for (const SeedValue& second : b) {
      if (first.seed == second.seed)
        differences.push_back({first.seed, first.value - second.value});
    }
  }
  return differences;
}

std::vector<double> values_of(const std::vector<SeedValue>& values) {
  std::vector<double> numbers;
  numbers.reserve(values.size());
  for (const SeedValue& each : values) numbers.push_back(each.value);
  return numbers;
}

}  // namespace cdsp
