// The lagged signal in one pass against the cosines by Gramian.
#include "conflict/lagged_signal.h"

#include <limits>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "conflict/lagged_game.h"
#include "kernels/block_grid.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct SignalShape {
  int64_t experts, width, columns, rank;
};

ConflictSite random_site(const SignalShape& s, at::ScalarType dtype, Draw& draw) {
  ConflictSite site;
  site.mask = mask_of(draw.subsets(s.experts, s.columns, s.rank), s.columns).to(dtype);
  site.active = at::ones({s.experts}, at::kBool);
  if (s.experts > 2) site.active[draw.between(0, s.experts - 1)] = false;
  const at::Tensor active = site.active.to(dtype).view({-1, 1, 1});
  site.gradients = std::make_shared<ExpertGradients>();
  site.gradients->u =
      draw.normal({s.experts, s.width, s.columns}).to(dtype) * site.mask.unsqueeze(1) * active;
  site.gradients->v =
      draw.normal({s.experts, s.columns, s.width}).to(dtype) * site.mask.unsqueeze(2) * active;
  return site;
}

std::vector<at::Tensor> one_pass(const std::vector<ConflictSite>& sites, ConflictGradient kind) {
  std::vector<at::Tensor> lagged;
  for (const ConflictSite& site : sites) {
    lagged.push_back(at::full({site.mask.size(0), site.mask.size(0)},
                              std::numeric_limits<double>::quiet_NaN(), site.mask.options()));
  }
  write_lagged_signals(sites, kind, lagged);
  return lagged;
}

at::Tensor one_pass(const ConflictSite& site, ConflictGradient kind) {
  return one_pass(std::vector<ConflictSite>{site}, kind)[0];
}

}  // namespace

TEST_CASE("one pass over the gradients gives the signal that the Gramian gives") {
  Draw draw(1);
  for (const SignalShape& shape :
       {SignalShape{5, 3, 14, 7},
        {1, 2, 6, 3},
        {8, 4, 40, 2},
        {12, 2, 12, 1},
        {3, 17, 50, 50},      // more rows than lanes, in float64
        {9, 35, 300, 30}}) {  // in float32; three tiles, more pieces than are read at once
    for (const ConflictGradient kind : {ConflictGradient::kUv, ConflictGradient::kU}) {
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        INFO(shape.experts << " experts, rank " << shape.rank << " of " << shape.columns);
        const ConflictSite site = random_site(shape, dtype, draw);
        LaggedGame game(kind);
        game.store(site);
        const at::Tensor found = one_pass(site, kind);
        CHECK((found - game.lagged()).abs().max().item<double>() <
              (dtype == at::kDouble ? 1e-13 : 2e-6));
        CHECK(at::equal(found, found.t()));
        CHECK(at::equal(found.eq(0), game.lagged().eq(0)));
        emulation_order() = EmulationOrder::kDescending;
        CHECK(same_bytes(one_pass(site, kind), found));
        emulation_order() = EmulationOrder::kAscending;
      }
    }
  }
}

TEST_CASE("experts that share no dimension have no conflict, and one with itself has none") {
  Draw draw(2);
  ConflictSite site = random_site({3, 4, 9, 3}, at::kDouble, draw);
  site.mask = at::eye(3, at::kDouble).repeat_interleave(3, 1);
  site.active = at::ones({3}, at::kBool);
  CHECK(at::equal(one_pass(site, ConflictGradient::kUv), at::zeros({3, 3}, at::kDouble)));
}

TEST_CASE("layers have the same signal together as each alone, however many there are") {
  Draw draw(3);
  for (const size_t layers : {2, 8, 11}) {  // a launch takes eight
    INFO(layers << " layers");
    std::vector<ConflictSite> sites;
    while (sites.size() < layers) sites.push_back(random_site({6, 5, 20, 9}, at::kFloat, draw));
    const std::vector<at::Tensor> found = one_pass(sites, ConflictGradient::kUv);
    for (size_t n = 0; n < layers; ++n) {
      CHECK(same_bytes(found[n], one_pass(sites[n], ConflictGradient::kUv)));
    }
  }
  CHECK(one_pass(std::vector<ConflictSite>(), ConflictGradient::kUv).empty());
}

TEST_CASE("a gradient that is not a number shows in the signal of its expert's pairs alone") {
  Draw draw(4);
  ConflictSite site = random_site({6, 5, 20, 20}, at::kDouble, draw);
  site.active = at::ones({6}, at::kBool);
  site.gradients->u[2][3][17] = std::numeric_limits<double>::quiet_NaN();
  at::Tensor expected = at::zeros({6, 6}, at::kBool);
  expected[2] = true;
  expected.select(1, 2).fill_(true);
  expected[2][2] = false;
  CHECK(at::equal(one_pass(site, ConflictGradient::kUv).isnan(), expected));
}
