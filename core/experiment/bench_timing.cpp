#include "experiment/bench_timing.h"

#include <algorithm>
#include <cmath>

namespace cdsp {

Times summarise_times(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return {0.5 * (values[n / 2] + values[(n - 1) / 2]), values.front(), values.back()};
}

double median_ratio(const std::vector<double>& over, const std::vector<double>& under) {
  std::vector<double> ratios;
  for (size_t i = 0; i < over.size(); ++i) ratios.push_back(over[i] / under[i]);
  return summarise_times(ratios).median;
}

double growth_exponent(double x_from, double y_from, double x_to, double y_to) {
  if (x_from == x_to) return std::nan("");
  return std::log(y_to / y_from) / std::log(x_to / x_from);
}

}  // namespace cdsp
