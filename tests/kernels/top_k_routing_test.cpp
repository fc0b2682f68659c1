// Which experts a token goes to, and with which weights.
#include "kernels/top_k_routing.h"

#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "kernels/normalise_and_route.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// The fused kernels, on the host and emulated, make their own logits W_g [LayerNorm(x), v_task] +
/// b_g. With W_g = [0, 1] and images of one token, each of a task of its own, they are the tasks'
/// embeddings.
Routing route(const at::Tensor& logits, int64_t k, bool with_probabilities, Engine engine) {
  if (engine == Engine::kReference) return route_top_k(logits, k, with_probabilities);
  const int64_t tokens = logits.size(0), experts = logits.size(1), d = 3;
  const at::TensorOptions options = logits.options().requires_grad(false);
  const at::Tensor weight =
      at::cat({at::zeros({experts, d}, options), at::eye(experts, options)}, 1);
  return normalise_and_route(at::ones({tokens, 1, d}, options), at::ones({d}, options),
                             {weight, at::zeros({experts}, options), logits},
                             at::eye(tokens, options), {k, RouterNorm::kToken, with_probabilities},
                             engine)
      .routing;
}

}  // namespace

TEST_CASE("a token goes to the experts of its k largest logits, the largest first") {
  Draw draw(1);
  for (const auto& [experts, k] :
       {std::pair<int64_t, int64_t>{8, 2}, {5, 1}, {6, 6}, {1, 1}, {40, 7}}) {
    const at::Tensor logits = draw.normal({23, experts});
    const at::Tensor expected = loop_top_k(logits, k);
    for (const Numerics& n : all_numerics()) {
      INFO(k << " of " << experts << ", " << n.name);
      const Routing routing = route(logits.to(n.dtype), k, false, n.engine);
      CHECK(at::equal(routing.indices, expected));
      CHECK(relative_error(routing.weights, loop_softmax_over(logits, expected)) < n.tolerance);
    }
  }
}

TEST_CASE("among equal logits the lowest expert wins") {
  for (const int64_t experts : {2, 3, 8, 17, 33, 64}) {
    for (const Numerics& n : all_numerics()) {
      INFO(experts << " experts, " << n.name);
      const at::Tensor logits = at::full({5, experts}, 0.3, n.dtype);
      const at::Tensor first_two = at::tensor({0, 1}, at::kLong).expand({5, 2});
      CHECK(at::equal(route(logits, 2, false, n.engine).indices, first_two));
    }
  }
  const at::Tensor mixed = at::tensor({1.0, 3.0, 2.0, 3.0, 2.0, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor expected = at::tensor({1, 3, 2}, at::kLong).unsqueeze(0);
  for (const Numerics& n : exact_numerics()) {
    INFO(n.name);
    CHECK(at::equal(route(mixed, 3, false, n.engine).indices, expected));
  }
}

TEST_CASE("the weights are positive on the chosen experts, zero elsewhere, and sum to 1") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  const Routing routing = route(Draw(2).normal({50, 9}), 3, false, n.engine);
  CHECK(relative_error(routing.weights.sum(1), at::ones({50}, at::kDouble)) < 1e-14);
  CHECK(at::equal(routing.weights.gt(0).sum(1), at::full({50}, 3, at::kLong)));
  CHECK(routing.weights.gather(1, routing.indices).min().item<double>() > 0.0);
}

TEST_CASE("a token with one expert gives it weight 1") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  const Routing routing = route(Draw(3).normal({11, 4}).to(n.dtype), 1, false, n.engine);
  CHECK(at::equal(routing.weights.gather(1, routing.indices), at::ones({11, 1}, n.dtype)));
}

TEST_CASE("with k = N the weights are the softmax over all experts") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  const at::Tensor logits = Draw(4).normal({11, 6});
  const Routing routing = route(logits, 6, false, n.engine);
  CHECK(relative_error(routing.weights, at::softmax(logits, 1)) < 1e-14);
}

TEST_CASE("the probabilities are the softmax over all experts, and come only when asked for") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  const at::Tensor logits = Draw(5).normal({11, 6}), all = at::arange(6, at::kLong).expand({11, 6});
  CHECK_FALSE(route(logits, 2, false, n.engine).probabilities.defined());
  const at::Tensor found = route(logits, 2, true, n.engine).probabilities;
  CHECK(relative_error(found, loop_softmax_over(logits, all)) < 1e-14);
}

TEST_CASE("large logits do not overflow the router's softmax") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  const at::Tensor logits = at::tensor({1e4, 1e4 - 1.0, -1e4}, at::kDouble).unsqueeze(0);
  const Routing routing = route(logits, 2, true, n.engine);
  CHECK(routing.weights[0][0].item<double>() == Catch::Approx(1.0 / (1.0 + std::exp(-1.0))));
  CHECK(at::isfinite(routing.probabilities).all().item<bool>());
}

TEST_CASE(
    "a logit that is no number shows in the weights, and the choice stays among the experts") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  for (const int64_t spoilt : {0, 3, 5}) {
    const at::Tensor logits = Draw(9).normal({4, 6}).to(n.dtype);
    logits.select(1, spoilt).fill_(std::numeric_limits<double>::quiet_NaN());
    const Routing routing = route(logits, 3, false, n.engine);
    CHECK(at::isnan(routing.weights).any(1).all().item<bool>());
    const auto chosen = routing.indices.accessor<int64_t, 2>();
    for (int64_t token = 0; token < 4; ++token) {
      std::set<int64_t> experts;
      for (int64_t slot = 0; slot < 3; ++slot) experts.insert(chosen[token][slot]);
      CHECK(experts.size() == 3);
      CHECK(*experts.begin() >= 0);
      CHECK(*experts.rbegin() < 6);
    }
  }
}

TEST_CASE("selection_counts counts the tokens of each expert, the idle ones too") {
  const at::Tensor logits = Draw(6).normal({30, 7});
  logits.select(1, 4).fill_(-100.0);
  const Routing routing = route_top_k(logits, 2, false);
  std::vector<double> expected(7, 0.0);
  const auto chosen = routing.indices.accessor<int64_t, 2>();
  for (int64_t token = 0; token < 30; ++token) {
    for (int64_t slot = 0; slot < 2; ++slot) {
      expected[static_cast<size_t>(chosen[token][slot])] += 1.0;
    }
  }
  CHECK(expected[4] == 0.0);
  CHECK(at::equal(selection_counts(routing), at::tensor(expected, at::kDouble)));
}

TEST_CASE("the gradients of weights and probabilities agree with finite differences") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  Draw draw(7);
  for (const int64_t k : {2, 5}) {
    const at::Tensor logits = leaf(draw.normal({6, 5}));
    const at::Tensor on_weights = draw.normal({6, 5}), on_probabilities = draw.normal({6, 5});
    check_gradients([&] { return (route(logits, k, false, n.engine).weights * on_weights).sum(); },
                    {{"logits", logits}});
    check_gradients(
        [&] {
          const Routing routing = route(logits, k, true, n.engine);
          return (routing.weights * on_weights + routing.probabilities * on_probabilities).sum();
        },
        {{"logits", logits}});
  }
}

TEST_CASE("an expert that was not chosen gets no gradient through the weights") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(8);
  const at::Tensor logits = draw.normal({6, 5}).to(n.dtype).set_requires_grad(true);
  const at::Tensor upstream = draw.normal({6, 5}).to(n.dtype);
  const Routing routing = route(logits, 2, false, n.engine);
  const at::Tensor gradient = gradients_of((routing.weights * upstream).sum(), {logits})[0];
  CHECK(at::equal(gradient.ne(0).sum(1), at::full({6}, 2, at::kLong)));
  CHECK(gradient.gather(1, routing.indices).ne(0).all().item<bool>());
}
