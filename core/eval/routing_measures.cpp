#include "eval/routing_measures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cdsp {
namespace {

constexpr double kNotDefined = std::numeric_limits<double>::quiet_NaN();

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// sum of p log2(p / q) over p > 0.
double kullback_leibler(const std::vector<double>& p, const std::vector<double>& q) {
  double bits = 0.0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0.0) bits += p[i] * std::log2(p[i] / q[i]);
  }
  return bits;
}

/// Share of each expert over all tasks, tasks equally likely.
std::vector<double> mean_row(const RoutingRows& table) {
  std::vector<double> load(table.front().size(), 0.0);
  for (const auto& row : table) {
    for (size_t e = 0; e < load.size(); ++e) load[e] += row[e] / static_cast<double>(table.size());
  }
  return load;
}

}  // namespace

double jensen_shannon(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> middle(a.size());
  for (size_t i = 0; i < a.size(); ++i) middle[i] = 0.5 * (a[i] + b[i]);
  return std::max(0.0, 0.5 * kullback_leibler(a, middle) + 0.5 * kullback_leibler(b, middle));
}

double total_variation(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return 0.5 * sum;
}

double pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = mean(a), mean_b = mean(b);
  double product = 0.0, square_a = 0.0, square_b = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += (a[i] - mean_a) * (b[i] - mean_b);
    square_a += (a[i] - mean_a) * (a[i] - mean_a);
    square_b += (b[i] - mean_b) * (b[i] - mean_b);
  }
  if (square_a == 0.0 || square_b == 0.0) return kNotDefined;
  return product / std::sqrt(square_a * square_b);
}

double separation_index(const RoutingRows& table) {
  if (table.size() != 3) return kNotDefined;
  return 0.5 * (jensen_shannon(table[0], table[2]) + jensen_shannon(table[1], table[2])) -
         jensen_shannon(table[0], table[1]);
}

double normalised_mutual_information(const RoutingRows& table) {
  if (table.size() < 2) return kNotDefined;
  const std::vector<double> load = mean_row(table);
  double information = 0.0;
  for (const auto& row : table)
    information += kullback_leibler(row, load) / static_cast<double>(table.size());
  return information / std::log2(static_cast<double>(table.size()));
}

std::vector<double> task_entropy_of_experts(const RoutingRows& table) {
  const std::vector<double> load = mean_row(table);
  std::vector<double> entropy(load.size(), kNotDefined);
  for (size_t e = 0; e < load.size(); ++e) {
    if (load[e] == 0.0) continue;
    entropy[e] = 0.0;
    for (const auto& row : table) {
      const double posterior = row[e] / (load[e] * static_cast<double>(table.size()));
      if (posterior > 0.0) entropy[e] -= posterior * std::log2(posterior);
    }
  }
  return entropy;
}

std::vector<size_t> preferred_experts(const RoutingRows& table) {
  std::vector<size_t> preferred;
  for (const auto& row : table) {
    preferred.push_back(
        static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
  return preferred;
}

double load_cv2(const RoutingRows& table) {
  const std::vector<double> load = mean_row(table);
  const double average = mean(load);
  double variance = 0.0;
  for (const double share : load) variance += (share - average) * (share - average);
  return variance / static_cast<double>(load.size()) / (average * average);
}

}  // namespace cdsp
