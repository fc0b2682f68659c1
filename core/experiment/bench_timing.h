// What the benchmarks share: taking times and putting several of them together.
#pragma once

#include <chrono>
#include <vector>

namespace cdsp {

/// Milliseconds that `work` takes, once.
template <typename Work>
double milliseconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

/// Several measurements of one thing, in their own unit.
struct Times {
  double median = 0, fastest = 0, slowest = 0;
};

/// `values` must not be empty. The median of an even number is the mean of the middle two.
Times summarise_times(std::vector<double> values);

/// Median of over[i] / under[i], two things measured in the same rounds: not the ratio of the two
/// medians, which may come from different minutes of the machine. Of one length, not empty.
double median_ratio(const std::vector<double>& over, const std::vector<double>& under);

/// Slope of the line through two points on doubly logarithmic paper: 1 where the cost is
/// proportional, 0 where it does not depend. NaN if the points stand above each other.
double growth_exponent(double x_from, double y_from, double x_to, double y_to);

}  // namespace cdsp
