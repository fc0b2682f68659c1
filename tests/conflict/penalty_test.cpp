// What a conflict costs a link.
#include "conflict/penalty.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// Links on both sides of the gate at 1e-3, exactly on it, and large ones.
at::Tensor links() {
  return at::tensor({-2.0, 0.0, 9.9e-4, 1e-3, 1.1e-3, 0.5, 3.0, -1e-3, 40.0}, at::kDouble)
      .view({3, 3});
}

at::Tensor conflicts() { return Draw(1).uniform({3, 3}, 0.1, 1.0).fill_diagonal_(0.0); }

at::Tensor slope_of(ConflictPenalty penalty) {
  const at::Tensor alpha = leaf(links());
  return gradients_of(conflict_loss(alpha, conflicts(), penalty), {alpha})[0];
}

}  // namespace

TEST_CASE("penalty `logit` is the logit itself: a constant pressure") {
  CHECK(at::equal(penalty_of(links(), ConflictPenalty::kLogit), links()));
  CHECK(relative_error(slope_of(ConflictPenalty::kLogit), conflicts()) < 1e-15);
}

TEST_CASE("penalty `gated_logit` is the logit from 1e-3 on, and nothing below") {
  const at::Tensor open =
      at::tensor({0., 0., 0., 1., 1., 1., 1., 0., 1.}, at::kDouble).view({3, 3});
  CHECK(at::equal(penalty_of(links(), ConflictPenalty::kGatedLogit), links() * open));
  CHECK(relative_error(slope_of(ConflictPenalty::kGatedLogit), conflicts() * open) < 1e-15);
}

TEST_CASE("penalty `sigmoid` is the link's strength, and its pressure fades at both ends") {
  const at::Tensor p = 1.0 / (1.0 + at::exp(-links()));
  CHECK(relative_error(penalty_of(links(), ConflictPenalty::kSigmoid), p) < 1e-15);
  CHECK(relative_error(slope_of(ConflictPenalty::kSigmoid), conflicts() * p * (1.0 - p)) < 1e-14);
}

TEST_CASE("the conflict loss is the sum over ordered pairs of f(A_ij) C_ij") {
  const at::Tensor a = links(), c = conflicts();
  double expected = 0.0;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      if (i != j) expected += a[i][j].item<double>() * c[i][j].item<double>();
    }
  }
  CHECK(conflict_loss(a, c, ConflictPenalty::kLogit).item<double>() == Catch::Approx(expected));
}

TEST_CASE("without conflict there is no pressure") {
  const at::Tensor alpha = leaf(links()), none = at::zeros({3, 3}, at::kDouble);
  for (const auto penalty :
       {ConflictPenalty::kLogit, ConflictPenalty::kGatedLogit, ConflictPenalty::kSigmoid}) {
    INFO(to_string(penalty));
    const at::Tensor loss = conflict_loss(alpha, none, penalty);
    CHECK(loss.item<double>() == 0.0);
    CHECK(gradients_of(loss, {alpha})[0].abs().max().item<double>() == 0.0);
  }
}

TEST_CASE("the regulariser is l1 mean|A| + determinism mean(p (1 - p))") {
  const at::Tensor alpha = leaf(Draw(2).normal({4, 4}));
  const at::Tensor p = 1.0 / (1.0 + at::exp(-alpha.detach()));
  const double size = alpha.detach().abs().mean().item<double>();
  const double doubt = (p * (1.0 - p)).mean().item<double>();
  ConflictConfig config;
  for (const auto& [l1, determinism] :
       {std::pair<double, double>{0.5, 0.0}, {0.0, 2.0}, {0.5, 2.0}}) {
    INFO("l1 " << l1 << ", determinism " << determinism);
    config.l1 = l1;
    config.determinism = determinism;
    const at::Tensor value = topology_regulariser(alpha, config);
    CHECK(value.item<double>() == Catch::Approx(l1 * size + determinism * doubt));
    check_gradients([&] { return topology_regulariser(alpha, config); }, {{"alpha", alpha}});
  }
  config.l1 = config.determinism = 0.0;
  CHECK(topology_regulariser(alpha, config).item<double>() == 0.0);
}
