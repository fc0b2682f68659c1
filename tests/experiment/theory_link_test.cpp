// One link under conflict: its drift, its noise, its paths.
#include "experiment/theory_link.h"

#include <cmath>
#include <vector>

#include "experiment/theory_pruning.h"
#include "support/catch.h"

using namespace cdsp;
using Catch::Approx;

namespace {

LinkDynamics link_of(ConflictPenalty penalty) {
  LinkDynamics dynamics;
  dynamics.penalty = penalty;
  return dynamics;
}

PathPlan short_plan() {
  PathPlan plan;
  plan.paths = 400;
  plan.steps = 1000;
  plan.stream = 1;
  return plan;
}

std::vector<double> ends_of(const LinkDynamics& dynamics, LinkOptimizer optimizer,
                            const PathPlan& plan) {
  std::vector<double> ends;
  simulate_paths(dynamics, optimizer, plan, [&](int64_t, int64_t record, double alpha) {
    if (record + 1 == plan.records()) ends.push_back(alpha);
  });
  return ends;
}

}  // namespace

TEST_CASE("conflict pulls down, synergy and task gain up, regularisation to zero") {
  const double alphas[] = {-3.0, -0.5, 0.0, 0.5, 3.0};
  for (const auto penalty : {ConflictPenalty::kLogit, ConflictPenalty::kSigmoid}) {
    for (const double alpha : alphas) {
      LinkDynamics dynamics = link_of(penalty);
      CHECK(dynamics.drift(alpha) < 0.0);
      dynamics.conflict = -dynamics.conflict;
      CHECK(dynamics.drift(alpha) > 0.0);
      dynamics.conflict = 0.0;
      CHECK(dynamics.drift(alpha) == 0.0);
      for (const auto regulariser : {Regulariser::kAbsolute, Regulariser::kSquare}) {
        dynamics.regulariser = regulariser;
        dynamics.regularisation = 0.3;
        CHECK(dynamics.drift(alpha) * alpha <= 0.0);
      }
      dynamics.regularisation = 0.0;
      dynamics.task_gain = 0.25;
      CHECK(dynamics.drift(alpha) == 0.25);
    }
  }
}

TEST_CASE("the logit penalty presses alike everywhere, the sigmoid penalty by p (1 - p)") {
  CHECK(link_of(ConflictPenalty::kLogit).drift(-4.0) == Approx(-0.2));
  CHECK(link_of(ConflictPenalty::kLogit).drift(4.0) == Approx(-0.2));
  CHECK(link_of(ConflictPenalty::kSigmoid).drift(0.0) == Approx(-0.2 / 4.0));
  const double p = sigmoid(-4.0);
  CHECK(link_of(ConflictPenalty::kSigmoid).drift(-4.0) == Approx(-0.2 * p * (1.0 - p)));
}

TEST_CASE("the drift is the downhill slope of the energy") {
  for (const auto penalty : {ConflictPenalty::kLogit, ConflictPenalty::kSigmoid}) {
    for (const auto regulariser : {Regulariser::kAbsolute, Regulariser::kSquare}) {
      LinkDynamics dynamics = link_of(penalty);
      dynamics.regulariser = regulariser;
      dynamics.regularisation = 0.07;
      dynamics.task_gain = 0.03;
      for (const double alpha : {-2.5, -0.7, 0.4, 1.9}) {
        const double h = 1e-5;
        const double slope = (dynamics.energy(alpha + h) - dynamics.energy(alpha - h)) / (2.0 * h);
        CHECK(-slope == Approx(dynamics.drift(alpha)).epsilon(1e-7));
      }
    }
  }
}

TEST_CASE("a link's entropy is one bit in the middle, even, and none at the ends") {
  CHECK(link_entropy(0.0) == Approx(1.0));
  CHECK(link_entropy(3.0) == Approx(link_entropy(-3.0)));
  const double p = sigmoid(3.0);
  CHECK(link_entropy(3.0) == Approx(-p * std::log2(p) - (1.0 - p) * std::log2(1.0 - p)));
  CHECK(link_entropy(800.0) == 0.0);
}

TEST_CASE("without noise plain SGD adds eta mu at every step") {
  LinkDynamics dynamics = link_of(ConflictPenalty::kLogit);
  dynamics.noise = 0.0;
  PathPlan plan = short_plan();
  plan.initial_deviation = 0.0;
  plan.paths = 1;
  CHECK(ends_of(dynamics, LinkOptimizer::kSgd, plan)[0] == Approx(-1000 * 0.05 * 0.2));
  // AdamW's step is the sign of the gradient, whatever the pressure.
  CHECK(ends_of(dynamics, LinkOptimizer::kAdamW, plan)[0] == Approx(-1000 * 0.05).epsilon(1e-4));
  dynamics.conflict = 0.001;
  CHECK(ends_of(dynamics, LinkOptimizer::kAdamW, plan)[0] == Approx(-1000 * 0.05).epsilon(1e-4));
}

TEST_CASE("with noise alone plain SGD walks at random: mean 0, variance eta^2 s^2 t") {
  LinkDynamics dynamics = link_of(ConflictPenalty::kLogit);
  dynamics.conflict = 0.0;
  dynamics.noise = 2.0;
  PathPlan plan = short_plan();
  plan.paths = 1000;
  const std::vector<double> ends = ends_of(dynamics, LinkOptimizer::kSgd, plan);
  double mean = 0.0, square = 0.0;
  for (const double end : ends) mean += end / 1000.0;
  for (const double end : ends) square += end * end / 1000.0;
  const double variance = 0.05 * 0.05 * 4.0 * 1000.0;  // 10
  CHECK(std::abs(mean) < 4.0 * std::sqrt(variance / 1000.0));
  CHECK(square == Approx(variance).epsilon(0.2));
}

TEST_CASE("paths are the same for equal names and differ by stream and seed") {
  PathPlan plan = short_plan();
  plan.paths = 3;
  plan.steps = 20;
  const LinkDynamics dynamics = link_of(ConflictPenalty::kSigmoid);
  const auto first = ends_of(dynamics, LinkOptimizer::kAdamW, plan);
  CHECK(first == ends_of(dynamics, LinkOptimizer::kAdamW, plan));
  plan.stream = 2;
  CHECK(first != ends_of(dynamics, LinkOptimizer::kAdamW, plan));
  plan.stream = 1;
  plan.seed = 1;
  CHECK(first != ends_of(dynamics, LinkOptimizer::kAdamW, plan));
  CHECK(first[0] != first[1]);
}

TEST_CASE("conflict prunes, slower with the sigmoid penalty, and not where there is none") {
  const PathPlan plan = short_plan();
  const auto logit = pruning_shares(link_of(ConflictPenalty::kLogit), LinkOptimizer::kSgd, plan);
  const auto sigmoid_paths =
      pruning_shares(link_of(ConflictPenalty::kSigmoid), LinkOptimizer::kSgd, plan);
  CHECK(logit.below_tenth.front() == 0.0);
  CHECK(logit.below_hundredth.back() == 1.0);
  REQUIRE(logit.half_time);
  // A falls by 0.01 a step; p < 0.1 below A = -ln 9.
  CHECK(*logit.half_time == Approx(std::log(9.0) / 0.01).margin(15.0));
  CHECK((!sigmoid_paths.half_time || *sigmoid_paths.half_time > *logit.half_time));
  CHECK(sigmoid_paths.below_hundredth.back() < 0.01);
  LinkDynamics none = link_of(ConflictPenalty::kLogit);
  none.conflict = 0.0;
  const auto without = pruning_shares(none, LinkOptimizer::kSgd, plan);
  CHECK(without.below_tenth.back() == 0.0);
  CHECK(without.mean_p == Approx(0.5).margin(0.02));
  CHECK_FALSE(without.half_time);
}

TEST_CASE("AdamW alone makes noise as large as its steps") {
  LinkDynamics none = link_of(ConflictPenalty::kLogit);
  none.conflict = 0.0;
  PathPlan plan = short_plan();
  plan.steps = 2000;
  const auto paths = pruning_shares(none, LinkOptimizer::kAdamW, plan);
  CHECK(paths.below_tenth.back() > 0.05);
  CHECK(paths.above_nine_tenths > 0.05);
}

TEST_CASE("a task gain or a centring above the conflict keeps the link") {
  const PathPlan plan = short_plan();
  LinkDynamics gain = link_of(ConflictPenalty::kLogit);
  gain.task_gain = 0.3;
  CHECK(pruning_shares(gain, LinkOptimizer::kSgd, plan).mean_p > 0.9);
  LinkDynamics centred = link_of(ConflictPenalty::kLogit);
  centred.regularisation = 0.3;
  CHECK(pruning_shares(centred, LinkOptimizer::kSgd, plan).mean_p == Approx(0.5).margin(0.05));
}

TEST_CASE("of two links that compete each presses less as the other goes") {
  const PathPlan plan = short_plan();
  const LinkDynamics dynamics = link_of(ConflictPenalty::kSigmoid);
  const auto pairs = pair_pruning_shares(dynamics, LinkOptimizer::kSgd, plan);
  const auto constant = pruning_shares(dynamics, LinkOptimizer::kSgd, plan);
  CHECK(pairs.mean_p > constant.mean_p);
  CHECK(pairs.mean_p < 0.5);
}

TEST_CASE("one step's change of E[p] is the drift's without noise, and the noise's without drift") {
  LinkDynamics dynamics = link_of(ConflictPenalty::kLogit);
  dynamics.noise = 0.0;
  CHECK(expected_change(dynamics, 0.5) == Approx(sigmoid(-0.01) - 0.5));
  dynamics.conflict = 0.0;
  dynamics.noise = 1.0;
  CHECK(expected_change(dynamics, 0.5) == Approx(0.0).margin(1e-15));
  // To second order: p (1 - p) (1 - 2 p) eta^2 s^2 / 2.
  const double p = 0.05;
  CHECK(expected_change(dynamics, p) ==
        Approx(0.5 * p * (1.0 - p) * (1.0 - 2.0 * p) * 0.05 * 0.05).epsilon(0.01));
  CHECK(expected_change(dynamics, 1.0 - p) == Approx(-expected_change(dynamics, p)));
}

TEST_CASE("p is a super-martingale where the pressure exceeds the noise's push") {
  LinkDynamics dynamics = link_of(ConflictPenalty::kLogit);
  CHECK(raised_below(dynamics) == 0.0);
  dynamics.noise = 5.0;  // T = 0.625 above the pressure 0.2
  CHECK(raised_below(dynamics) > 0.1);
  // lambda delta p (1 - p) = T (1 - 2 p) with T = 0.001 at p = 0.005.
  CHECK(raised_below(link_of(ConflictPenalty::kSigmoid)) == Approx(0.005).margin(0.0003));
}

TEST_CASE("the noiseless flow says how long a simulation must be") {
  constexpr auto kSgd = LinkOptimizer::kSgd;
  // logit: A falls by 0.01 a step to -ln 99. sigmoid: dA/dt = -0.01 p (1 - p) makes
  // e^-A - 2 A - e^A grow by 0.01 a step from 0, to 99 + 2 ln 99 - 1/99 at p = 0.01.
  const NoiselessFlow logit = noiseless_flow(link_of(ConflictPenalty::kLogit), kSgd);
  REQUIRE(logit.crossing);
  CHECK(static_cast<double>(*logit.crossing) == Approx(std::log(99.0) / 0.01).margin(10.0));
  CHECK(pruning_horizon(logit) == 2000);
  const NoiselessFlow sigmoid_flow = noiseless_flow(link_of(ConflictPenalty::kSigmoid), kSgd);
  REQUIRE(sigmoid_flow.crossing);
  CHECK(static_cast<double>(*sigmoid_flow.crossing) ==
        Approx((99.0 + 2.0 * std::log(99.0) - 1.0 / 99.0) / 0.01).margin(20.0));
  CHECK(pruning_horizon(sigmoid_flow) >= 3 * *sigmoid_flow.crossing);
  // A weak centring stops it where lambda delta p (1 - p) = gamma.
  LinkDynamics centred = link_of(ConflictPenalty::kSigmoid);
  centred.regularisation = 0.05 * centred.pressure();
  const NoiselessFlow rests = noiseless_flow(centred, kSgd);
  CHECK_FALSE(rests.crossing);
  CHECK(rests.p_at_end == Approx(0.0528).epsilon(0.02));
  CHECK(pruning_horizon(rests) == 2000);
  // Two that compete let go of each other: slower than any simulation here.
  const NoiselessFlow pair =
      noiseless_flow(link_of(ConflictPenalty::kSigmoid), kSgd, /*in_pairs=*/true);
  REQUIRE(pair.crossing);
  CHECK(*pair.crossing > 100000);
  CHECK(pruning_horizon(pair) == 2000);
}

TEST_CASE("a simulation too short to tell leaves the statement open") {
  PruningShares shares;
  shares.steps = {0, 2000};
  shares.below_hundredth = {0, 0.5};
  NoiselessFlow flow;
  flow.p_at_end = 0.05;
  CHECK(nearly_all_pruned(shares, flow) == false);  // it never gets there
  flow.crossing = 11000;
  CHECK_FALSE(nearly_all_pruned(shares, flow).has_value());
  flow.crossing = 500;
  CHECK(nearly_all_pruned(shares, flow) == false);  // there was time, and it stands still
  shares.rising = true;
  CHECK_FALSE(nearly_all_pruned(shares, flow).has_value());
  shares.below_hundredth.back() = 0.995;
  CHECK(nearly_all_pruned(shares, flow) == true);
}
