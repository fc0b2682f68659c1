// Norm and router in one: the fused kernel against the reference composition, and both against
// finite differences.
#include "kernels/normalise_and_route.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/router_inputs.h"
#include "kernels/top_k_row.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct RouteShape {
  int64_t batch, positions, d, experts, k, task_width, tasks;

  std::string text() const {
    return std::to_string(batch) + " x " + std::to_string(positions) + " tokens, d " +
           std::to_string(d) + ", " + std::to_string(k) + " of " + std::to_string(experts) +
           " experts, " + std::to_string(tasks) + " tasks of width " + std::to_string(task_width);
  }
};

std::vector<RouteShape> route_shapes(Draw& draw) {
  std::vector<RouteShape> shapes = {{9, 49, 64, 8, 2, 16, 3},
                                    {2, 5, 7, 4, 1, 3, 2},
                                    {1, 3, 6, 5, 5, 2, 1},
                                    {5, 1, 12, 20, 3, 5, 4},
                                    {3, 4, 5, 1, 1, 2, 2},
                                    // More experts, and tasks of them, than a block holds; columns
                                    // in several stretches.
                                    {4, 9, 90, 40, 3, 5, 4},
                                    {2, 60, 33, 32, 32, 20, 9},
                                    {70, 1, 170, 9, 2, 3, 70},
                                    // A tile of columns and experts: images within a block, more
                                    // tasks than are read at once; and nearly one.
                                    {60, 1, 64, 8, 3, 4, 6},
                                    {7, 17, 64, 8, 8, 36, 5},
                                    {1, 100, 64, 8, 1, 8, 1},
                                    {3, 30, 64, 8, 2, 3, 2},
                                    {3, 30, 64, 8, 2, 4, 17},
                                    // Rows of whole quads, but no tile.
                                    {3, 20, 132, 20, 3, 8, 2},
                                    {3, 4, 8, 5, 2, 4, 2}};
  for (int i = 0; i < 5; ++i) {
    const int64_t experts = draw.between(1, 18);
    shapes.push_back({draw.between(1, 9), draw.between(1, 20), draw.between(2, 40), experts,
                      draw.between(1, experts), draw.between(1, 9), draw.between(1, 4)});
  }
  return shapes;
}

struct RouteCase {
  RouteShape shape;
  at::Tensor h, norm, weight, bias, embedding, one_hot;

  RouteCase(const RouteShape& s, Draw& draw)
      : shape(s),
        h(draw.normal({s.batch, s.positions, s.d}) * 2.0 + 0.5),
        norm(draw.uniform({s.d}, 0.5, 1.5)),
        weight(draw.normal({s.experts, s.d + s.task_width})),
        bias(draw.normal({s.experts})),
        embedding(draw.normal({s.tasks, s.task_width})),
        one_hot(at::zeros({s.batch, s.tasks}, at::kDouble)) {
    // The last image is told no task, unless it is the only one.
    for (int64_t i = 0; i < s.batch - 1 || i < 1; ++i)
      one_hot[i][draw.between(0, s.tasks - 1)] = 1.0;
  }

  std::vector<at::Tensor> leaves(at::ScalarType dtype) const {
    std::vector<at::Tensor> result;
    for (const at::Tensor& value : {h, norm, weight, bias, embedding})
      result.push_back(value.to(dtype).clone().set_requires_grad(true));
    return result;
  }
};

RoutedTokens routed(const RouteCase& c, const std::vector<at::Tensor>& in, RouterNorm norm,
                    Engine engine, const at::Tensor& one_hot, bool with_probabilities = true) {
  return normalise_and_route(in[0], in[1], {in[2], in[3], in[4]},
                             one_hot.defined() ? one_hot.to(in[0].scalar_type()) : one_hot,
                             {c.shape.k, norm, with_probabilities}, engine);
}

/// A number that all of a kernel's differentiable results enter.
at::Tensor loss_of(const RoutedTokens& tokens) {
  const auto mix = [](const at::Tensor& value) {
    const at::Tensor flat = value.reshape({-1});
    return (flat * at::cos(at::arange(flat.numel(), flat.options().requires_grad(false)))).sum();
  };
  at::Tensor loss = mix(tokens.residual) * 0.7 + mix(tokens.x) + mix(tokens.routing.weights);
  if (tokens.routing.probabilities.defined()) loss = loss + mix(tokens.routing.probabilities) * 3.0;
  return loss;
}

}  // namespace

TEST_CASE("norm and router in one route as the reference does, and their gradients agree") {
  Draw draw(1);
  const char* names[] = {"h", "norm", "weight", "bias", "embedding"};
  for (const RouteShape& shape : route_shapes(draw)) {
    const RouteCase c(shape, draw);
    for (const RouterNorm norm : {RouterNorm::kToken, RouterNorm::kSequence}) {
      const auto exact = c.leaves(at::kDouble);
      const RoutedTokens expected = routed(c, exact, norm, Engine::kReference, c.one_hot);
      const auto expected_gradients = gradients_of(loss_of(expected), exact);
      for (const Numerics& n : all_numerics()) {
        INFO(shape.text() << ", norm " << to_string(norm) << ", " << n.name);
        const auto in = c.leaves(n.dtype);
        const RoutedTokens found = routed(c, in, norm, n.engine, c.one_hot);
        CHECK(same_bytes(found.residual, in[0]));
        CHECK(relative_error(found.x, expected.x) < n.tolerance);
        CHECK(at::equal(found.routing.indices, expected.routing.indices));
        CHECK(relative_error(found.routing.weights, expected.routing.weights) < 2 * n.tolerance);
        CHECK(relative_error(found.routing.probabilities, expected.routing.probabilities) <
              2 * n.tolerance);
        CHECK(at::equal(selection_counts(found.routing).to(at::kDouble),
                        selection_counts(expected.routing)));
        const auto gradients = gradients_of(loss_of(found), in);
        for (size_t i = 0; i < gradients.size(); ++i) {
          INFO("gradient of " << names[i]);
          CHECK(relative_error(gradients[i], expected_gradients[i]) < 10 * n.tolerance);
        }
      }
    }
  }
}

TEST_CASE("the gradients of norm and router in one agree with finite differences") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  const RouterNorm norm = GENERATE(RouterNorm::kToken, RouterNorm::kSequence);
  INFO(n.name << ", norm " << to_string(norm));
  Draw draw(2);
  const RouteCase c({3, 4, 6, 5, 2, 3, 2}, draw);
  const auto in = c.leaves(at::kDouble);
  check_gradients(
      [&] { return loss_of(routed(c, in, norm, n.engine, c.one_hot)); },
      {{"h", in[0]}, {"norm", in[1]}, {"weight", in[2]}, {"bias", in[3]}, {"embedding", in[4]}});
}

TEST_CASE("gradients arrive from any subset of what norm and router give out") {
  Draw draw(3);
  const RouteCase c({3, 4, 6, 5, 2, 3, 2}, draw);
  const auto gradients = [&](Engine engine, int which) {
    const auto in = c.leaves(at::kDouble);
    const RoutedTokens tokens = routed(c, in, RouterNorm::kToken, engine, c.one_hot);
    const at::Tensor outputs[] = {tokens.residual, tokens.x, tokens.routing.weights,
                                  tokens.routing.probabilities};
    return gradients_of(outputs[which].square().sum(), {in[0]})[0];
  };
  for (int which = 0; which < 4; ++which) {
    for (const Engine engine : {Engine::kFused, Engine::kEmulated}) {
      INFO("output " << which << ", " << name_of(engine));
      CHECK(relative_error(gradients(engine, which), gradients(Engine::kReference, which)) < 1e-12);
    }
  }
}

TEST_CASE("a gradient that is one row for all probabilities is that row for each token") {
  Draw draw(6);
  const RouteCase c({3, 4, 6, 5, 2, 3, 2}, draw);
  const at::Tensor row = draw.normal({5});
  for (const Numerics& n : exact_numerics()) {
    INFO(n.name);
    const auto gradients = [&](const at::Tensor& upstream) {
      const auto in = c.leaves(at::kDouble);
      const RoutedTokens tokens = routed(c, in, RouterNorm::kSequence, n.engine, c.one_hot);
      return torch::autograd::grad({tokens.routing.probabilities}, {in[0], in[2]}, {upstream});
    };
    const auto expanded = gradients(row.expand({12, 5})), whole = gradients(row.repeat({12, 1}));
    CHECK(relative_error(expanded[0], whole[0]) < 1e-15);
    CHECK(relative_error(expanded[1], whole[1]) < 1e-15);
  }
}

TEST_CASE("norm and router take numbers that are not aligned") {
  Draw draw(7);
  const RouteCase c({9, 49, 64, 8, 2, 16, 3}, draw);
  for (const Numerics& n : all_numerics()) {
    INFO(n.name);
    const auto gradients = [&](int64_t gap) {
      std::vector<at::Tensor> in;
      for (const at::Tensor& value : c.leaves(n.dtype)) {
        const at::Tensor buffer = at::empty({gap + value.numel()}, n.dtype);
        const at::Tensor moved = buffer.narrow(0, gap, value.numel()).view(value.sizes());
        moved.copy_(value.detach());
        in.push_back(moved.set_requires_grad(true));
      }
      return gradients_of(loss_of(routed(c, in, RouterNorm::kToken, n.engine, c.one_hot)), in);
    };
    const auto found = gradients(1), expected = gradients(0);
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(relative_error(found[i], expected[i]) < 10 * n.tolerance);
  }
}

TEST_CASE("the router's keys rank as its logits do") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    const T infinity = std::numeric_limits<T>::infinity();
    const T values[] = {std::numeric_limits<T>::quiet_NaN(),
                        -std::numeric_limits<T>::quiet_NaN(),
                        infinity,
                        std::numeric_limits<T>::max(),
                        T(1.5),
                        T(1),
                        std::numeric_limits<T>::denorm_min(),
                        zero,
                        -zero,
                        -std::numeric_limits<T>::denorm_min(),
                        T(-1),
                        T(-1.5),
                        std::numeric_limits<T>::lowest(),
                        -infinity};
    for (const T a : values) {
      for (const T b : values) {
        const auto x = router_block::key_of(a), y = router_block::key_of(b);
        INFO(a << " and " << b);
        for (const int i : {0, 2}) CHECK(routed_before(a, i, b, 1) == (x > y || (x == y && i < 1)));
      }
      const T again = router_block::logit_of<T>(router_block::key_of(a));
      CHECK((again == a || (std::isnan(again) && std::isnan(a))));
    }
  };
  check(0.0F);
  check(0.0);
}

TEST_CASE("the place of a token in its image is found without division") {
  const auto check = [](auto view, int64_t token) {
    const auto place = view.place(static_cast<typename decltype(view)::Index>(token));
    INFO("token " << token << ", " << view.positions << " positions");
    CHECK(place.image == token / view.positions);
    CHECK(place.position == token % view.positions);
  };
  for (const int positions : {1, 2, 3, 7, 49, 64, 65537, 2147483647}) {
    RouterInputs<float> inputs = {};
    inputs.positions = positions;
    inputs.of_positions = RouterInputs<float>::part_of_positions(positions);
    const int64_t last = 2147483647, images = last / positions;
    for (const int64_t token : {int64_t{0}, int64_t{1}, int64_t{48}, int64_t{49}, last - 1, last,
                                images * positions, images * positions - 1}) {
      check(RouterView<float, true>{inputs}, token);
      check(RouterView<float, false>{inputs}, token);
    }
    check(RouterView<float, false>{inputs}, int64_t{1} << 33);
  }
}

TEST_CASE("without a task the loss does not reach the embeddings, nor the router's half for them") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  Draw draw(4);
  const RouteCase c({3, 4, 6, 5, 2, 3, 2}, draw);
  const auto in = c.leaves(at::kDouble);
  const RoutedTokens none = routed(c, in, RouterNorm::kToken, n.engine, {});
  const auto gradients = gradients_of(loss_of(none), in);
  CHECK_FALSE(gradients[4].defined());
  CHECK(at::equal(gradients[2].narrow(1, 6, 3), at::zeros({5, 3}, at::kDouble)));
  const RoutedTokens zeros =
      routed(c, in, RouterNorm::kToken, n.engine, at::zeros({3, 2}, at::kDouble));
  CHECK(at::equal(zeros.routing.weights, none.routing.weights));
}

TEST_CASE(
    "norm and router give probabilities only when asked, and the same bytes without gradient") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(5);
  const RouteCase c({9, 49, 64, 8, 2, 16, 3}, draw);
  const RoutedTokens all =
      routed(c, c.leaves(n.dtype), RouterNorm::kToken, n.engine, c.one_hot, true);
  const at::NoGradGuard no_grad;
  const RoutedTokens few =
      routed(c, c.leaves(n.dtype), RouterNorm::kToken, n.engine, c.one_hot, false);
  CHECK_FALSE(few.routing.probabilities.defined());
  CHECK(same_bytes(few.x, all.x));
  CHECK(same_bytes(few.routing.weights, all.routing.weights));
}
