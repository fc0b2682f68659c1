// Cosines by Gramian against explicit intersections.
#include "conflict/gramian_cosines.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/loop_game.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// Random gradients of N experts, zero outside random column sets.
struct GradientCase {
  IndexSets selection;
  at::Tensor mask;
  ExpertGradients gradients;

  GradientCase(int64_t experts, int64_t d, int64_t columns, int64_t rank, Draw& draw)
      : selection(draw.subsets(experts, columns, rank)), mask(mask_of(selection, columns)) {
    gradients.u = draw.normal({experts, d, columns}) * mask.unsqueeze(1);
    gradients.v = draw.normal({experts, columns, d}) * mask.unsqueeze(2);
  }
};

}  // namespace

TEST_CASE("cosines by Gramian equal those over explicit intersections") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused);
  INFO(name_of(engine));
  Draw draw(1);
  for (int repeat = 0; repeat < 30; ++repeat) {
    const int64_t experts = draw.between(1, 10), d = draw.between(1, 8),
                  columns = draw.between(1, 40);
    const int64_t rank = draw.between(1, columns);
    const GradientCase c(experts, d, columns, rank, draw);
    for (const ConflictGradient kind : {ConflictGradient::kUv, ConflictGradient::kU}) {
      INFO(experts << " experts, d " << d << ", " << rank << " of " << columns << " columns, "
                   << to_string(kind));
      const at::Tensor expected =
          loop_cosines(c.gradients.u, c.gradients.v, c.selection, kind == ConflictGradient::kUv);
      CHECK(relative_error(gramian_cosines(c.gradients, c.mask, kind, engine), expected) < 1e-12);
      const ExpertGradients in_float = {c.gradients.u.to(at::kFloat), c.gradients.v.to(at::kFloat)};
      CHECK(relative_error(gramian_cosines(in_float, c.mask.to(at::kFloat), kind, engine),
                           expected) < 1e-5);
    }
  }
}

TEST_CASE("experts that share no column have cosine 0") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused);
  INFO(name_of(engine));
  const IndexSets disjoint = {{0, 1, 2}, {3, 4, 5}, {2, 3, 8}};
  const at::Tensor mask = mask_of(disjoint, 9);
  Draw draw(3);
  const ExpertGradients gradients = {draw.normal({3, 4, 9}) * mask.unsqueeze(1),
                                     draw.normal({3, 9, 4}) * mask.unsqueeze(2)};
  const at::Tensor cosine = gramian_cosines(gradients, mask, ConflictGradient::kUv, engine);
  CHECK(cosine[0][1].item<double>() == 0.0);
  CHECK(cosine[1][0].item<double>() == 0.0);
  CHECK(cosine[0][2].item<double>() != 0.0);
  CHECK(cosine[1][2].item<double>() != 0.0);
}

TEST_CASE("a gradient of zeros has cosine 0 with every other, not NaN") {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    Draw draw(4);
    GradientCase c(4, 3, 12, 8, draw);
    const ExpertGradients gradients = {c.gradients.u.to(dtype), c.gradients.v.to(dtype)};
    gradients.u[1].zero_();
    gradients.v[1].zero_();
    for (const Engine engine : {Engine::kReference, Engine::kFused}) {
      INFO(name_of(engine));
      const at::Tensor cosine =
          gramian_cosines(gradients, c.mask.to(dtype), ConflictGradient::kUv, engine);
      CHECK(at::equal(cosine[1], at::zeros({4}, dtype)));
      CHECK(at::equal(cosine.select(1, 1), at::zeros({4}, dtype)));
      CHECK(at::isfinite(cosine).all().item<bool>());
      CHECK(cosine[0][2].item<double>() != 0.0);
    }
  }
}

TEST_CASE("equal gradients have cosine 1, opposite ones -1, on what they share") {
  const at::Tensor mask = mask_of({{0, 1, 2}, {1, 2, 3}}, 4);
  Draw draw(5);
  const at::Tensor u = draw.normal({5, 4}), v = draw.normal({4, 5});
  const auto cosine = [&](double sign) {
    const ExpertGradients gradients = {at::stack({u, u * sign}) * mask.unsqueeze(1),
                                       at::stack({v, v * sign}) * mask.unsqueeze(2)};
    return gramian_cosines(gradients, mask, ConflictGradient::kUv)[0][1].item<double>();
  };
  CHECK(cosine(1.0) == Catch::Approx(1.0).epsilon(1e-7));
  CHECK(cosine(-1.0) == Catch::Approx(-1.0).epsilon(1e-7));
}

TEST_CASE("`u` does not look at V") {
  Draw draw(6);
  GradientCase c(4, 3, 12, 8, draw);
  const at::Tensor before = gramian_cosines(c.gradients, c.mask, ConflictGradient::kU);
  const at::Tensor with_v = gramian_cosines(c.gradients, c.mask, ConflictGradient::kUv);
  c.gradients.v *= -3.0;
  c.gradients.v[0] *= -1.0;
  CHECK(at::equal(gramian_cosines(c.gradients, c.mask, ConflictGradient::kU), before));
  CHECK_FALSE(at::equal(gramian_cosines(c.gradients, c.mask, ConflictGradient::kUv), with_v));
}

TEST_CASE("each norm gets 1e-8, so that vanishing gradients count for nothing") {
  const at::Tensor mask = at::ones({2, 1}, at::kDouble);
  const auto cosine = [&](double size) {
    const ExpertGradients gradients = {at::full({2, 1, 1}, size, at::kDouble),
                                       at::zeros({2, 1, 1}, at::kDouble)};
    return gramian_cosines(gradients, mask, ConflictGradient::kU)[0][1].item<double>();
  };
  CHECK(cosine(1e-8) == Catch::Approx(0.25));
  CHECK(cosine(1e-12) == Catch::Approx(1e-8).epsilon(1e-3));
}
