#include "experiment/claims_measures.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cdsp {
namespace {

constexpr double kNotDefined = std::numeric_limits<double>::quiet_NaN();
/// With fewer epochs in its last half a run cannot show a plateau.
constexpr size_t kFewestLateEpochs = 4;

std::vector<double> sorted_diagonal(const ClaimRun& run, size_t layer) {
  std::vector<double> diagonal;
  if (layer >= run.links.size()) return diagonal;
  for (size_t i = 0; i < run.links[layer].size(); ++i) diagonal.push_back(run.links[layer][i][i]);
  std::sort(diagonal.begin(), diagonal.end());
  return diagonal;
}

/// Sparsity at the ends of the last half of the epochs; empty if there are too few, or none known.
std::vector<double> late_sparsity(const ClaimRun& run) {
  std::vector<double> values;
  if (run.epochs.empty()) return values;
  for (const ClaimEpoch& epoch : run.epochs) {
    if (2 * epoch.epoch > run.epochs.back().epoch) values.push_back(epoch.alpha_sparsity);
  }
  const bool known =
      std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
  if (values.size() < kFewestLateEpochs || !known) values.clear();
  return values;
}

}  // namespace

double texture_over_semantics(const RoutingRows& table) {
  if (table.size() != 3) return kNotDefined;
  return jensen_shannon(table[0], table[1]) - jensen_shannon(table[1], table[2]);
}

RoutingRows routing_of_epoch(const ClaimRun& run, int64_t epoch) {
  for (const ClaimEpoch& each : run.epochs) {
    if (each.epoch == epoch) return each.routing;
  }
  return {};
}

double ranked_diagonal(const ClaimRun& run, size_t layer, size_t rank) {
  const std::vector<double> diagonal = sorted_diagonal(run, layer);
  return rank < diagonal.size() ? diagonal[diagonal.size() - 1 - rank] : kNotDefined;
}

double ranked_diagonal_from_below(const ClaimRun& run, size_t layer, size_t rank) {
  const std::vector<double> diagonal = sorted_diagonal(run, layer);
  return rank < diagonal.size() ? diagonal[rank] : kNotDefined;
}

double same_preferred_expert(const RoutingRows& a, const RoutingRows& b, size_t task) {
  if (task >= a.size() || task >= b.size()) return kNotDefined;
  return preferred_experts(a)[task] == preferred_experts(b)[task] ? 1.0 : 0.0;
}

double pearson_of_tasks(const RoutingRows& table, size_t a, size_t b) {
  if (std::max(a, b) >= table.size()) return kNotDefined;
  return pearson(table[a], table[b]);
}

double sparsity_rise(const ClaimRun& run) {
  return sample_mean(late_sparsity(run)) - run.start.alpha_sparsity;
}

double late_sparsity_range(const ClaimRun& run) {
  const std::vector<double> late = late_sparsity(run);
  if (late.empty()) return kNotDefined;
  const auto [least, most] = std::minmax_element(late.begin(), late.end());
  return *most - *least;
}

double late_sparsity_fluctuation(const ClaimRun& run) {
  const std::vector<double> late = late_sparsity(run);
  if (late.empty()) return kNotDefined;
  double rises = 0.0, falls = 0.0;
  for (size_t i = 1; i < late.size(); ++i) {
    if (late[i] > late[i - 1]) rises += 1.0;
    if (late[i] < late[i - 1]) falls += 1.0;
  }
  return std::min(rises, falls) / static_cast<double>(late.size() - 1);
}

double conflict_loss_way_left(const ClaimRun& run, int64_t epoch) {
  std::vector<double> later;
  for (const ClaimEpoch& each : run.epochs) {
    if (each.epoch > epoch) later.push_back(each.loss_conflict);
  }
  const double at = at_epoch(run, epoch, &ClaimEpoch::loss_conflict);
  if (later.empty() || !std::isfinite(at)) return kNotDefined;
  const double left = std::abs(sample_mean(later) - at);
  return left == 0.0 ? 0.0 : left / std::abs(sample_mean(later));
}

double at_last_epoch(const ClaimRun& run, double ClaimEpoch::*column) {
  return run.epochs.empty() ? kNotDefined : run.epochs.back().*column;
}

double at_epoch(const ClaimRun& run, int64_t epoch, double ClaimEpoch::*column) {
  for (const ClaimEpoch& each : run.epochs) {
    if (each.epoch == epoch) return each.*column;
  }
  return kNotDefined;
}

}  // namespace cdsp
