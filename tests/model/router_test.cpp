// The router: what it normalises, what it is told of the task, what it makes of both.
#include "model/router.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// A router of the tiny config for three tasks, its tensors within reach.
struct RouterCase {
  Config config;
  ParameterSet parameters;
  Router router;

  RouterCase(RouterNorm norm, Engine engine)
      : config(with(norm)),
        router(config, 3, "moe", Initialiser(1, at::kDouble, at::kCPU), parameters, engine) {}

  at::Tensor parameter(const std::string& name) const {
    for (const Parameter& p : parameters.all()) {
      if (p.name == name) return p.value;
    }
    return {};
  }

  /// Behind a norm of weight 1.
  Routing route(const at::Tensor& h, const at::Tensor& one_hot, bool with_probabilities) const {
    return router.route(h, at::ones({8}, at::kDouble), one_hot, with_probabilities).routing;
  }

  static Config with(RouterNorm norm) {
    Config config = tiny_config();
    config.router.norm = norm;
    return config;
  }
};

/// W_g [x, v] + b_g token by token, from a normalised x [batch, positions, d].
at::Tensor loop_logits(const RouterCase& c, const at::Tensor& normalised,
                       const at::Tensor& one_hot) {
  const at::Tensor weight = c.parameter("moe.router.weight").detach();
  const at::Tensor bias = c.parameter("moe.router.bias").detach();
  const at::Tensor embedding = c.parameter("moe.task_embedding.weight").detach();
  std::vector<at::Tensor> rows;
  for (int64_t image = 0; image < normalised.size(0); ++image) {
    at::Tensor v_task = at::zeros({embedding.size(1)}, at::kDouble);
    for (int64_t task = 0; task < embedding.size(0); ++task) {
      if (one_hot[image][task].item<double>() == 1.0) v_task = embedding[task];
    }
    for (int64_t token = 0; token < normalised.size(1); ++token) {
      rows.push_back(at::mv(weight, at::cat({normalised[image][token], v_task})) + bias);
    }
  }
  return at::stack(rows);
}

/// (x - mean) / sqrt(variance + 1e-5) over each of the leading `groups` groups of x's numbers.
at::Tensor standardised(const at::Tensor& x, int64_t groups) {
  const at::Tensor rows = x.reshape({groups, -1});
  const at::Tensor centred = rows - rows.mean(1, /*keepdim=*/true);
  return (centred / (centred.square().mean(1, true) + 1e-5).sqrt()).view(x.sizes());
}

const at::Tensor& three_tasks() {
  static const at::Tensor one_hot =
      at::tensor({0., 0., 1., 1., 0., 0., 0., 0., 0., 0., 1., 0.}, at::kDouble).view({4, 3});
  return one_hot;  // tasks 2, 0, none, 1
}

}  // namespace

TEST_CASE("norm `token` standardises every token by itself") {
  const at::Tensor x = Draw(1).normal({3, 5, 8}) * 2.0 + 1.0;
  const at::Tensor found = normalise_router_input(x, RouterNorm::kToken);
  CHECK(relative_error(found, standardised(x, 15)) < 1e-13);
}

TEST_CASE("norm `sequence` standardises an image's tokens and features jointly") {
  const at::Tensor x = Draw(2).normal({3, 5, 8}) * 2.0 + 1.0;
  const at::Tensor found = normalise_router_input(x, RouterNorm::kSequence);
  CHECK(relative_error(found, standardised(x, 3)) < 1e-13);
}

TEST_CASE("the routing is that of W_g [LayerNorm(x), v_task] + b_g") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  const RouterNorm norm = GENERATE(RouterNorm::kToken, RouterNorm::kSequence);
  INFO(n.name << ", norm " << to_string(norm));
  const RouterCase c(norm, n.engine);
  const at::Tensor x = Draw(3).normal({4, 5, 8});
  const at::Tensor normal =
      loop_rms_norm(x.view({20, 8}), at::ones({8}, at::kDouble)).view({4, 5, 8});
  const at::Tensor logits =
      loop_logits(c, standardised(normal, norm == RouterNorm::kToken ? 20 : 4), three_tasks());
  const Routing routing = c.route(x, three_tasks(), /*with_probabilities=*/true);
  const at::Tensor expected = loop_top_k(logits, 2);
  CHECK(at::equal(routing.indices, expected));
  CHECK(relative_error(routing.weights, loop_softmax_over(logits, expected)) < 1e-13);
  CHECK(relative_error(routing.probabilities, at::softmax(logits, 1)) < 1e-13);
}

TEST_CASE("a task that is withheld from all and one that is not given at all route alike") {
  const RouterCase c(RouterNorm::kToken, Engine::kReference);
  const at::Tensor x = Draw(4).normal({4, 5, 8});
  const Routing zeros = c.route(x, at::zeros({4, 3}, at::kDouble), true);
  const Routing none = c.route(x, {}, true);
  CHECK(at::equal(zeros.indices, none.indices));
  CHECK(at::equal(zeros.weights, none.weights));
  CHECK(at::equal(zeros.probabilities, none.probabilities));
}

TEST_CASE("the task moves the routing of its own image only") {
  const RouterCase c(RouterNorm::kSequence, Engine::kReference);
  const at::Tensor x = Draw(5).normal({2, 5, 8});
  at::Tensor told = at::zeros({2, 3}, at::kDouble);
  const at::Tensor before = c.route(x, told, true).probabilities;
  told[1][2] = 1.0;
  const at::Tensor after = c.route(x, told, true).probabilities;
  CHECK(at::equal(before.narrow(0, 0, 5), after.narrow(0, 0, 5)));
  CHECK((before - after).narrow(0, 5, 5).abs().min().item<double>() > 0.0);
}

TEST_CASE("the loss reaches the embedding where a task is given, and only there") {
  const RouterCase c(RouterNorm::kToken, Engine::kReference);
  Draw draw(6);
  const at::Tensor x = draw.normal({4, 5, 8}), upstream = draw.normal({20, 4});
  const at::Tensor embedding = c.parameter("moe.task_embedding.weight");
  const auto gradient = [&](const at::Tensor& one_hot) {
    return gradients_of((c.route(x, one_hot, false).weights * upstream).sum(), {embedding})[0];
  };
  CHECK(gradient(three_tasks()).ne(0).all().item<bool>());
  CHECK_FALSE(gradient({}).defined());
}

TEST_CASE("the router's gradients agree with finite differences") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  const RouterNorm norm = GENERATE(RouterNorm::kToken, RouterNorm::kSequence);
  INFO(n.name << ", norm " << to_string(norm));
  const RouterCase c(norm, n.engine);
  Draw draw(7);
  const at::Tensor x = leaf(draw.normal({4, 3, 8})), upstream = draw.normal({12, 4});
  std::vector<GradientInput> inputs = {{"x", x}};
  for (const Parameter& p : c.parameters.all()) inputs.push_back({p.name, p.value});
  check_gradients([&] { return (c.route(x, three_tasks(), false).weights * upstream).sum(); },
                  inputs);
}
