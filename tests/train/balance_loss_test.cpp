// The load-balance losses of the baselines against their formulas.
#include "train/balance_loss.h"

#include <cmath>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// How many of the choices fall on each expert.
std::vector<double> counts_of(const at::Tensor& choices, int64_t experts) {
  std::vector<double> counts(static_cast<size_t>(experts), 0.0);
  const auto chosen = choices.accessor<int64_t, 2>();
  for (int64_t token = 0; token < choices.size(0); ++token) {
    for (int64_t slot = 0; slot < choices.size(1); ++slot) {
      counts[static_cast<size_t>(chosen[token][slot])] += 1.0;
    }
  }
  return counts;
}

double value_of(const Routing& routing, BalanceKind kind) {
  return balance_loss(routing, kind).item<double>();
}

}  // namespace

TEST_CASE("`switch` is N sum_i f_i P_i") {
  Draw draw(1);
  for (const auto& [experts, k] : {std::pair<int64_t, int64_t>{5, 2}, {4, 1}, {3, 3}, {1, 1}}) {
    const at::Tensor logits = draw.normal({17, experts});
    const std::vector<double> counts = counts_of(loop_top_k(logits, k), experts);
    const at::Tensor probabilities = at::softmax(logits, 1);
    double expected = 0.0;
    for (int64_t i = 0; i < experts; ++i) {
      const double share = counts[static_cast<size_t>(i)] / static_cast<double>(17 * k);
      expected += share * probabilities.select(1, i).mean().item<double>();
    }
    expected *= static_cast<double>(experts);
    INFO(k << " of " << experts);
    CHECK(value_of(route_top_k(logits, k, true), BalanceKind::kSwitch) ==
          Catch::Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("`switch` is 1 where the load is even and larger where it is not") {
  const at::Tensor even = at::eye(4, at::kDouble) * 1e-3;
  CHECK(value_of(route_top_k(even, 1, true), BalanceKind::kSwitch) == Catch::Approx(1.0));
  const at::Tensor one_sided = at::zeros({4, 4}, at::kDouble);
  one_sided.select(1, 2).fill_(30.0);
  CHECK(value_of(route_top_k(one_sided, 1, true), BalanceKind::kSwitch) == Catch::Approx(4.0));
}

TEST_CASE(
    "the gradient of `switch` goes through the probabilities alone, the shares being constant") {
  const at::Tensor logits = leaf(Draw(2).normal({9, 5}));
  check_gradients([&] { return balance_loss(route_top_k(logits, 2, true), BalanceKind::kSwitch); },
                  {{"logits", logits}});
}

TEST_CASE("`cv2` is the squared variation coefficient of the counts, with N - 1") {
  Draw draw(3);
  for (const auto& [experts, k] : {std::pair<int64_t, int64_t>{5, 2}, {4, 1}, {2, 1}}) {
    const at::Tensor logits = draw.normal({17, experts});
    const std::vector<double> counts = counts_of(loop_top_k(logits, k), experts);
    const double mean = static_cast<double>(17 * k) / static_cast<double>(experts);
    double variance = 0.0;
    for (const double count : counts) variance += (count - mean) * (count - mean);
    variance /= static_cast<double>(experts - 1);
    const double expected = variance / ((mean + 1e-6) * (mean + 1e-6));
    INFO(k << " of " << experts);
    CHECK(value_of(route_top_k(logits, k, false), BalanceKind::kCv2) ==
          Catch::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("`cv2` is 0 where every expert is selected equally often, and where there is only one") {
  CHECK(value_of(route_top_k(at::eye(4, at::kDouble), 1, false), BalanceKind::kCv2) == 0.0);
  CHECK(value_of(route_top_k(at::zeros({6, 1}, at::kDouble), 1, false), BalanceKind::kCv2) == 0.0);
}

TEST_CASE("`cv2` has no gradient: counts do not move with the logits") {
  const at::Tensor logits = leaf(Draw(4).normal({9, 5}));
  CHECK_FALSE(balance_loss(route_top_k(logits, 2, true), BalanceKind::kCv2).requires_grad());
}
