// The game between steps: which pairs count, and from which step their signal is.
#include "conflict/lagged_game.h"

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/loop_game.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

constexpr int64_t kExperts = 5, kWidth = 3, kColumns = 14, kRank = 7;

/// A layer at one step: random gradients on a random selection; gradients of idle experts are zero.
struct Step {
  IndexSets selection;
  ConflictSite site;

  Step(const std::vector<int64_t>& active, Draw& draw)
      : selection(draw.subsets(kExperts, kColumns, kRank)) {
    site.alpha = draw.normal({kExperts, kExperts});
    site.mask = mask_of(selection, kColumns);
    site.active = at::zeros({kExperts}, at::kBool);
    for (const int64_t expert : active) site.active[expert] = true;
    const at::Tensor outer = site.active.to(at::kDouble).view({-1, 1, 1});
    site.gradients = std::make_shared<ExpertGradients>();
    site.gradients->u = draw.normal({kExperts, kWidth, kColumns}) * site.mask.unsqueeze(1) * outer;
    site.gradients->v = draw.normal({kExperts, kColumns, kWidth}) * site.mask.unsqueeze(2) * outer;
  }
};

const std::vector<int64_t>& everybody() {
  static const std::vector<int64_t> experts = {0, 1, 2, 3, 4};
  return experts;
}

/// C by the specification: ReLU(-cos) of `before` for i != j where both are in both sets.
at::Tensor expected_conflict(const Step& before, const Step& now) {
  const at::Tensor cosine = loop_cosines(before.site.gradients->u, before.site.gradients->v,
                                         before.selection, /*with_v=*/true);
  const at::Tensor conflict = at::zeros({kExperts, kExperts}, at::kDouble);
  const auto is_in = [](const Step& step, int64_t i) { return step.site.active[i].item<bool>(); };
  for (int64_t i = 0; i < kExperts; ++i) {
    for (int64_t j = 0; j < kExperts; ++j) {
      const bool counts =
          i != j && is_in(before, i) && is_in(before, j) && is_in(now, i) && is_in(now, j);
      const double value = cosine[i][j].item<double>();
      if (counts && value < 0.0) conflict[i][j] = -value;
    }
  }
  return conflict;
}

/// By both engines, which must agree.
at::Tensor played(const Step& before, const Step& now) {
  LaggedGame game(ConflictGradient::kUv), fused(ConflictGradient::kUv, Engine::kFused);
  game.store(before.site);
  fused.store(before.site);
  const at::Tensor conflict = game.conflict(now.site), by_fused = fused.conflict(now.site);
  CHECK((conflict - by_fused).abs().max().item<double>() < 1e-13);
  CHECK(at::equal(conflict.eq(0), by_fused.eq(0)));
  return conflict;
}

}  // namespace

TEST_CASE("before the first step nothing is stored and there is no conflict") {
  Draw draw(1);
  const LaggedGame game(ConflictGradient::kUv);
  CHECK_FALSE(game.lagged().defined());
  CHECK(at::equal(game.conflict(Step(everybody(), draw).site),
                  at::zeros({kExperts, kExperts}, at::kDouble)));
}

TEST_CASE("conflict is ReLU(-cos) of the last step's gradients on the last step's columns") {
  Draw draw(2);
  for (int repeat = 0; repeat < 10; ++repeat) {
    const Step before(everybody(), draw), now(everybody(), draw);
    const at::Tensor found = played(before, now);
    CHECK(relative_error(found, expected_conflict(before, now)) < 1e-12);
    CHECK(found.max().item<double>() > 0.0);
    CHECK(at::equal(found.diagonal(), at::zeros({kExperts}, at::kDouble)));
  }
}

TEST_CASE("a signal that is no number shows in both engines, even where the pair does not count") {
  Draw draw(9);
  const Step now({0, 1, 3, 4}, draw);  // 2 is idle
  at::Tensor lagged = draw.uniform({kExperts, kExperts}, 0.0, 1.0);
  lagged[2][0] = std::numeric_limits<double>::quiet_NaN();
  for (const Engine engine : {Engine::kReference, Engine::kFused}) {
    LaggedGame game(ConflictGradient::kUv, engine);
    game.restore(lagged);
    const at::Tensor conflict = game.conflict(now.site);
    CHECK(at::isnan(conflict[2][0]).item<bool>());
    CHECK(at::isnan(conflict).sum().item<int64_t>() == 1);
  }
}

TEST_CASE("an expert idle at either step is in no pair") {
  Draw draw(3);
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> steps = {
      {{0, 1, 3, 4}, {0, 1, 2, 3, 4}},  // 2 was not stored
      {{0, 1, 2, 3, 4}, {0, 1, 3, 4}},  // 2 was stored and is idle now
      {{0, 1, 2}, {2, 3, 4}},           // one in both, no pair
      {{0, 1, 2}, {1, 2, 3}},          {{}, {0, 1, 2, 3, 4}}, {{0, 1, 2, 3, 4}, {}}};
  for (const auto& [at_before, at_now] : steps) {
    const Step before(at_before, draw), now(at_now, draw);
    const at::Tensor found = played(before, now);
    INFO(at_before.size() << " experts, then " << at_now.size());
    CHECK(relative_error(found, expected_conflict(before, now)) < 1e-12);
    for (int64_t i = 0; i < kExperts; ++i) {
      if (before.site.active[i].item<bool>() && now.site.active[i].item<bool>()) continue;
      CHECK(at::equal(found[i], at::zeros({kExperts}, at::kDouble)));
      CHECK(at::equal(found.select(1, i), at::zeros({kExperts}, at::kDouble)));
    }
  }
}

TEST_CASE("an expert that was idle is not stored, whatever its gradients hold") {
  Draw draw(4);
  Step before({0, 1, 2, 4}, draw);
  before.selection[3] = before.selection[0];
  before.site.mask = mask_of(before.selection, kColumns);
  before.site.gradients->u[3] = -before.site.gradients->u[0];  // the sharpest conflict there is
  before.site.gradients->v[3] = -before.site.gradients->v[0];
  const Step now(everybody(), draw);
  const at::Tensor found = played(before, now);
  CHECK(at::equal(found[3], at::zeros({kExperts}, at::kDouble)));
  CHECK(relative_error(found, expected_conflict(before, now)) < 1e-12);
}

TEST_CASE("the signal is that of the step just before, not of an earlier one") {
  Draw draw(5);
  const Step first(everybody(), draw), second({0, 1, 2, 3}, draw), third(everybody(), draw);
  LaggedGame game(ConflictGradient::kUv);
  game.store(first.site);
  game.store(second.site);
  CHECK(relative_error(game.conflict(third.site), expected_conflict(second, third)) < 1e-12);
}

TEST_CASE("asking for the conflict changes nothing") {
  Draw draw(6);
  const Step before(everybody(), draw), now(everybody(), draw), idle({0}, draw);
  LaggedGame game(ConflictGradient::kUv);
  game.store(before.site);
  const at::Tensor once = game.conflict(now.site);
  CHECK(game.conflict(idle.site).abs().sum().item<double>() == 0.0);
  CHECK(at::equal(game.conflict(now.site), once));
}

TEST_CASE("a restored game goes on as the stored one") {
  Draw draw(7);
  const Step before({0, 1, 3}, draw), now(everybody(), draw);
  LaggedGame stored(ConflictGradient::kU), restored(ConflictGradient::kU);
  stored.store(before.site);
  restored.restore(stored.lagged().clone());
  CHECK(at::equal(restored.conflict(now.site), stored.conflict(now.site)));
  CHECK(stored.conflict(now.site).max().item<double>() > 0.0);
}

TEST_CASE("conflict carries no gradient") {
  Draw draw(8);
  Step before(everybody(), draw), now(everybody(), draw);
  before.site.alpha.set_requires_grad(true);
  now.site.alpha.set_requires_grad(true);
  CHECK_FALSE(played(before, now).requires_grad());
  CHECK_FALSE(LaggedGame(ConflictGradient::kU).conflict(now.site).requires_grad());
}
