// Simulated networks and the stationary law that Theorem 2 is judged by.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "experiment/theory_entropy.h"

namespace cdsp {
namespace {

double mean_between(const std::vector<double>& values, size_t begin, size_t end) {
  return sample_mean({values.begin() + static_cast<std::ptrdiff_t>(begin),
                      values.begin() + static_cast<std::ptrdiff_t>(end)});
}

void add_changes(EntropyPaths& paths) {
  constexpr size_t kParts = 10;
  constexpr double kEach = 1.0 - (1.0 - kConfidence) / (kParts - 1);
  const size_t length = paths.mean.size() / kParts;
  for (size_t part = 1; part < kParts; ++part) {
    std::vector<double> changes;
    for (const auto& network : paths.networks) {
      changes.push_back(mean_between(network, part * length, (part + 1) * length) -
                        mean_between(network, (part - 1) * length, part * length));
    }
    paths.changes.push_back(sample_mean(changes));
    paths.change_intervals.push_back(*student_t_interval(changes, kEach));
  }
}

}  // namespace

EntropyPaths simulate_entropy(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                              const PathPlan& plan) {
  const int64_t networks = std::max<int64_t>(2, plan.paths / kSimulatedLinks);
  const auto records = static_cast<size_t>(plan.records());
  EntropyPaths result;
  result.networks.assign(static_cast<size_t>(networks), std::vector<double>(records, 0.0));
  PathPlan half = plan;
  half.paths = networks * kSimulatedLinks / 2;
  LinkDynamics link = dynamics;
  for (int sign = 0; sign < 2; ++sign) {
    half.stream = plan.stream + static_cast<uint64_t>(sign);
    simulate_paths(link, optimizer, half, [&](int64_t path, int64_t record, double alpha) {
      result.networks[static_cast<size_t>(path % networks)][static_cast<size_t>(record)] +=
          link_entropy(alpha);
    });
    link.conflict = -link.conflict;
  }
  for (size_t record = 0; record < records; ++record) {
    std::vector<double> bits;
    for (const auto& network : result.networks) bits.push_back(network[record]);
    result.steps.push_back(static_cast<double>(plan.every) * static_cast<double>(record));
    result.mean.push_back(sample_mean(bits));
    result.standard_error.push_back(*sample_standard_deviation(bits) /
                                    std::sqrt(static_cast<double>(networks)));
  }
  std::vector<double> late;
  for (const auto& network : result.networks)
    late.push_back(mean_between(network, 2 * records / 3, records));
  result.late_mean = sample_mean(late);
  result.late_error = *sample_standard_deviation(late) / std::sqrt(static_cast<double>(networks));
  add_changes(result);
  return result;
}

double gibbs_entropy(const LinkDynamics& dynamics, double temperature) {
  constexpr int kPoints = 24001;
  constexpr double kReach = 60.0;
  std::vector<double> alphas(kPoints), energies(kPoints);
  for (size_t i = 0; i < alphas.size(); ++i) {
    alphas[i] = kReach * (2.0 * static_cast<double>(i) / (kPoints - 1) - 1.0);
    energies[i] = dynamics.energy(alphas[i]);
  }
  const double lowest = *std::min_element(energies.begin(), energies.end());
  double weights = 0.0, bits = 0.0;
  for (size_t i = 0; i < alphas.size(); ++i) {
    const double weight = std::exp((lowest - energies[i]) / temperature);
    weights += weight;
    bits += weight * link_entropy(alphas[i]);
  }
  return bits / weights;
}

}  // namespace cdsp
