// Counting paths: the shares that Theorem 1 is judged by.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "experiment/theory_pruning.h"

namespace cdsp {
namespace {

using Simulation = void (*)(const LinkDynamics&, LinkOptimizer, const PathPlan&,
                            const PathObserver&);

PruningShares shares_of(Simulation simulate, const LinkDynamics& dynamics, LinkOptimizer optimizer,
                        const PathPlan& plan) {
  PruningShares shares;
  const auto records = static_cast<size_t>(plan.records());
  shares.below_tenth.assign(records, 0.0);
  shares.below_hundredth.assign(records, 0.0);
  double deep = 0.0, back = 0.0, paths = 0.0;
  // Paths of a pair come in turns, so what a path went through is kept for each.
  std::vector<int> seen(static_cast<size_t>(plan.paths), 0);  // 1: was below 0.01, 2: came back
  simulate(dynamics, optimizer, plan, [&](int64_t path, int64_t record, double alpha) {
    const double p = sigmoid(alpha);
    const auto time = static_cast<size_t>(record);
    if (p < 0.1) shares.below_tenth[time] += 1.0;
    if (p < 0.01) shares.below_hundredth[time] += 1.0;
    int& state = seen[static_cast<size_t>(path)];
    if (state == 0 && p < 0.01) state = 1;
    if (state == 1 && p > 0.1) state = 2;
    if (time + 1 < records) return;
    paths += 1.0;
    shares.mean_p += p;
    if (p > 0.9) shares.above_nine_tenths += 1.0;
    if (state > 0) deep += 1.0;
    if (state == 2) back += 1.0;
  });
  shares.mean_p /= paths;
  shares.above_nine_tenths /= paths;
  shares.returned = deep > 0.0 ? back / deep : 0.0;
  for (size_t time = 0; time < records; ++time) {
    shares.steps.push_back(static_cast<double>(plan.every) * static_cast<double>(time));
    shares.below_tenth[time] /= paths;
    shares.below_hundredth[time] /= paths;
    if (!shares.half_time && shares.below_tenth[time] >= 0.5) shares.half_time = shares.steps[time];
  }
  const auto mean_of = [&](size_t first, size_t last) {
    double sum = 0.0;
    for (size_t time = first; time < last; ++time) sum += shares.below_hundredth[time];
    return sum / static_cast<double>(last - first);
  };
  if (records >= 8) {
    shares.rising = mean_of(3 * records / 4, records) > mean_of(records / 2, 3 * records / 4);
  }
  return shares;
}

}  // namespace

PruningShares pruning_shares(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                             const PathPlan& plan) {
  return shares_of(simulate_paths, dynamics, optimizer, plan);
}

PruningShares pair_pruning_shares(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                                  const PathPlan& plan) {
  return shares_of(simulate_pairs, dynamics, optimizer, plan);
}

NoiselessFlow noiseless_flow(LinkDynamics dynamics, LinkOptimizer optimizer, bool in_pairs) {
  constexpr int64_t kLongest = 1000000;
  dynamics.noise = 0.0;
  PathPlan plan;
  plan.paths = in_pairs ? 2 : 1;
  plan.every = 10;
  plan.initial_deviation = 0.0;
  NoiselessFlow flow;
  // Most flows cross, or rest, within far fewer steps than the slowest needs.
  for (plan.steps = 10000; !flow.crossing && plan.steps <= kLongest; plan.steps *= 10) {
    (in_pairs ? simulate_pairs : simulate_paths)(dynamics, optimizer, plan,
                                                 [&](int64_t path, int64_t record, double alpha) {
                                                   if (path > 0) return;
                                                   flow.p_at_end = sigmoid(alpha);
                                                   if (!flow.crossing && flow.p_at_end < 0.01)
                                                     flow.crossing = record * plan.every;
                                                 });
  }
  return flow;
}

int64_t pruning_horizon(const NoiselessFlow& flow) {
  constexpr int64_t kShortest = 2000, kLongest = 40000, kRounded = 1000;
  if (!flow.crossing || *flow.crossing > kLongest) return kShortest;
  const int64_t wanted = (3 * *flow.crossing + kRounded - 1) / kRounded * kRounded;
  return std::min(kLongest, std::max(kShortest, wanted));
}

std::optional<bool> nearly_all_pruned(const PruningShares& shares, const NoiselessFlow& flow) {
  constexpr double kPruned = 0.99;
  if (shares.below_hundredth.back() >= kPruned) return true;
  if (!flow.crossing) return false;
  const bool too_short = shares.steps.back() < static_cast<double>(*flow.crossing);
  if (too_short || shares.rising) return std::nullopt;
  return false;
}

double raised_below(const LinkDynamics& dynamics) {
  double edge = 0.0;
  for (int i = 1; i < 10000; ++i) {
    const double p = 1e-4 * i;
    if (expected_change(dynamics, p) > 0.0) edge = p;
  }
  return edge >= 0.9999 - 1e-12 ? 1.0 : edge;
}

}  // namespace cdsp
