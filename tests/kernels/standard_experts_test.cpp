// The standard MoE layer against a loop over experts, and its gradients against finite differences.
#include "kernels/standard_experts.h"

#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "kernels/token_blocks.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct ExpertsShape {
  int64_t tokens, d, experts, k, hidden;
};

std::vector<ExpertsShape> experts_shapes(Draw& draw) {
  std::vector<ExpertsShape> shapes = {{7, 5, 4, 2, 3},   {9, 6, 3, 1, 4},   {9, 6, 3, 3, 4},
                                      {2, 4, 9, 1, 2},   {1, 4, 4, 2, 5},   {6, 3, 1, 1, 1},
                                      {300, 8, 3, 2, 5}, {700, 6, 2, 2, 5}, {1700, 5, 4, 1, 3}};
  for (int i = 0; i < 6; ++i) {
    const int64_t experts = draw.between(1, 9);
    shapes.push_back({draw.between(1, 60), draw.between(1, 12), experts, draw.between(1, experts),
                      draw.between(1, 9)});
  }
  return shapes;
}

struct ExpertsCase {
  at::Tensor x, choices, weights, w1, b1, w2, b2, upstream;

  ExpertsCase(const ExpertsShape& s, Draw& draw)
      : x(draw.normal({s.tokens, s.d})),
        choices(draw.choices(s.tokens, s.experts, s.k)),
        weights(draw.weights_on(choices, s.experts)),
        w1(draw.normal({s.experts, s.hidden, s.d})),
        b1(draw.normal({s.experts, s.hidden})),
        w2(draw.normal({s.experts, s.d, s.hidden})),
        b2(draw.normal({s.experts, s.d})),
        upstream(draw.normal({s.tokens, s.d})) {}

  /// The inputs as leaves of that type: x, weights, w1, b1, w2, b2.
  std::vector<at::Tensor> leaves(at::ScalarType dtype) const {
    std::vector<at::Tensor> result;
    for (const at::Tensor& value : {x, weights, w1, b1, w2, b2}) {
      result.push_back(value.to(dtype).clone().set_requires_grad(true));
    }
    return result;
  }
};

/// `leaves` as c.leaves() makes them.
at::Tensor experts_of(const ExpertsCase& c, const std::vector<at::Tensor>& leaves, Engine engine,
                      const at::Tensor& residual = {}) {
  return standard_experts(leaves[0], {c.choices, leaves[1], {}, {}}, leaves[2], leaves[3],
                          leaves[4], leaves[5], engine, residual);
}

}  // namespace

TEST_CASE("all experts at once equal a loop over experts that gather their own tokens") {
  Draw draw(1);
  const char* names[] = {"x", "weights", "w1", "b1", "w2", "b2"};
  for (const ExpertsShape& s : experts_shapes(draw)) {
    const ExpertsCase c(s, draw);
    const auto slow = c.leaves(at::kDouble);
    const at::Tensor expected =
        loop_standard_experts(slow[0], c.choices, slow[1], slow[2], slow[3], slow[4], slow[5]);
    auto expected_gradients = gradients_of((expected * c.upstream).sum(), slow);
    expected_gradients[1] = expected_gradients[1].gather(1, c.choices);
    for (const Numerics& n : all_numerics()) {
      INFO(s.tokens << " tokens, " << s.k << " of " << s.experts << " experts, " << n.name);
      const auto fast = c.leaves(n.dtype);
      const at::Tensor found = experts_of(c, fast, n.engine);
      CHECK(relative_error(found, expected) < n.tolerance);
      auto gradients = gradients_of((found * c.upstream.to(n.dtype)).sum(), fast);
      gradients[1] = gradients[1].gather(1, c.choices);
      for (size_t i = 0; i < gradients.size(); ++i) {
        INFO("gradient of " << names[i]);
        CHECK(relative_error(gradients[i], expected_gradients[i]) < n.tolerance);
      }
    }
  }
}

TEST_CASE("an expert that nobody selects gets no gradient") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(2);
  ExpertsCase c({20, 4, 5, 2, 3}, draw);
  c.choices = draw.choices(20, 3, 2);  // experts 3 and 4 stay idle
  c.weights = draw.weights_on(c.choices, 5);
  const auto inputs = c.leaves(n.dtype);
  const at::Tensor y = experts_of(c, inputs, n.engine);
  const auto gradients = gradients_of((y * c.upstream.to(n.dtype)).sum(), inputs);
  for (size_t parameter = 2; parameter < 6; ++parameter) {
    const at::Tensor by_expert = gradients[parameter].abs().reshape({5, -1}).sum(1);
    CHECK(at::equal(by_expert.gt(0).to(at::kLong), at::tensor({1, 1, 1, 0, 0}, at::kLong)));
  }
}

TEST_CASE("standard experts may be idle in some blocks of tokens and busy in others") {
  Draw draw(13);
  const int64_t length = 600, tokens = 4 * length;
  REQUIRE(TokenBlocks(tokens, 2, 5).length() == length);
  ExpertsCase c({tokens, 6, 5, 2, 3}, draw);
  // Experts 0 to 2, then 2 and 3, then all but 4, which stays idle.
  c.choices = at::cat(
      {draw.choices(length, 3, 2), draw.choices(length, 2, 2) + 2, draw.choices(2 * length, 4, 2)});
  c.weights = draw.weights_on(c.choices, 5);
  const auto slow = c.leaves(at::kDouble);
  const at::Tensor expected =
      loop_standard_experts(slow[0], c.choices, slow[1], slow[2], slow[3], slow[4], slow[5]);
  auto expected_gradients = gradients_of((expected * c.upstream).sum(), slow);
  for (const Numerics& n : all_numerics()) {
    INFO(n.name);
    const auto fast = c.leaves(n.dtype);
    const at::Tensor found = experts_of(c, fast, n.engine);
    CHECK(relative_error(found, expected) < n.tolerance);
    const auto gradients = gradients_of((found * c.upstream.to(n.dtype)).sum(), fast);
    for (const size_t input : {0, 2, 3, 4, 5})
      CHECK(relative_error(gradients[input], expected_gradients[input]) < n.tolerance);
  }
}

TEST_CASE("the standard experts' gradients agree with finite differences, the router's included") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  Draw draw(3);
  for (const ExpertsShape& s : {ExpertsShape{6, 4, 3, 2, 5}, ExpertsShape{4, 3, 2, 2, 2}}) {
    const ExpertsCase c(s, draw);
    const auto in = c.leaves(at::kDouble);
    const at::Tensor logits = leaf(draw.normal({s.tokens, s.experts}));
    check_gradients(
        [&] {
          const Routing routing = route_top_k(logits, s.k, false);
          const at::Tensor y =
              standard_experts(in[0], routing, in[2], in[3], in[4], in[5], n.engine);
          return (y * c.upstream).sum();
        },
        {{"x", in[0]},
         {"router logits", logits},
         {"w1", in[2]},
         {"b1", in[3]},
         {"w2", in[4]},
         {"b2", in[5]}});
  }
}

TEST_CASE(
    "the standard experts give the same answer when no gradient is wanted, and the same bytes") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(4);
  const ExpertsShape shape =
      GENERATE(ExpertsShape{1700, 16, 8, 2, 8}, ExpertsShape{1700, 72, 40, 1, 20});
  const ExpertsCase c(shape, draw);
  const auto run = [&] {
    const auto inputs = c.leaves(n.dtype);
    const at::Tensor y = experts_of(c, inputs, n.engine);
    std::vector<at::Tensor> all = gradients_of((y * c.upstream.to(n.dtype)).sum(), inputs);
    all.push_back(y);
    return all;
  };
  const auto once = run(), again = run();
  for (size_t i = 0; i < once.size(); ++i) CHECK(same_bytes(once[i], again[i]));
  const at::Tensor residual = c.upstream.to(n.dtype);
  const auto added = [&] { return experts_of(c, c.leaves(n.dtype), n.engine, residual).detach(); };
  const at::Tensor with_gradients = added();
  const at::NoGradGuard no_grad;
  CHECK(same_bytes(experts_of(c, c.leaves(n.dtype), n.engine), once.back()));
  CHECK(same_bytes(added(), with_gradients));
}
