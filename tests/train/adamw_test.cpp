// The optimiser against a loop over single numbers.
#include "train/adamw.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// AdamW on one parameter, number by number.
struct LoopAdamW {
  std::vector<double> value, first, second;
  double lr, decay;
  int steps = 0;

  LoopAdamW(const at::Tensor& start, double rate, double weight_decay)
      : value(start.data_ptr<double>(), start.data_ptr<double>() + start.numel()),
        first(value.size(), 0.0),
        second(value.size(), 0.0),
        lr(rate),
        decay(weight_decay) {}

  void step(const at::Tensor& gradient) {
    ++steps;
    for (size_t i = 0; i < value.size(); ++i) {
      const double g = gradient.data_ptr<double>()[i];
      first[i] = 0.9 * first[i] + 0.1 * g;
      second[i] = 0.999 * second[i] + 0.001 * g * g;
      const double mean = first[i] / (1.0 - std::pow(0.9, steps));
      const double square = second[i] / (1.0 - std::pow(0.999, steps));
      value[i] -= lr * decay * value[i];
      value[i] -= lr * mean / (std::sqrt(square) + 1e-8);
    }
  }
};

/// Four parameters of two speeds: a [3, 2], b [4], c [5], and the topology logits [2, 2], which the
/// set moves to the end.
struct AdamWCase {
  ParameterSet parameters;
  OptimizerConfig config;

  explicit AdamWCase(Draw& draw) {
    config.lr = 0.03;
    config.topology_lr = 0.2;
    config.weight_decay = 0.1;
    parameters.add("a", draw.normal({3, 2}));
    parameters.add("alpha", draw.normal({2, 2}), ParameterGroup::kTopology);
    parameters.add("b", draw.normal({4}));
    parameters.add("c", draw.normal({5}));
    parameters.flatten();
  }

  std::vector<LoopAdamW> loops() const {
    std::vector<LoopAdamW> result;
    for (const Parameter& p : parameters.all()) {
      const bool is_fast = p.group == ParameterGroup::kTopology;
      result.emplace_back(p.value.detach().contiguous(), is_fast ? 0.2 : 0.03, is_fast ? 0.0 : 0.1);
    }
    return result;
  }
};

}  // namespace

TEST_CASE("AdamW moves every number as the formula says, at two speeds") {
  Draw draw(1);
  AdamWCase c(draw);
  std::vector<LoopAdamW> loops = c.loops();
  AdamW optimizer(c.parameters, c.config);
  // Which parameter is reached changes from step to step, so that their counts drift apart.
  const std::vector<std::vector<bool>> reached = {
      {true, true, true, true},  {true, false, true, true}, {true, false, true, false},
      {false, true, true, true}, {true, true, true, true},  {true, true, false, true}};
  for (const std::vector<bool>& mask : reached) {
    const at::Tensor gradient = draw.normal({c.parameters.count()});
    optimizer.step(gradient, mask);
    int64_t offset = 0;
    for (size_t i = 0; i < loops.size(); ++i) {
      const Parameter& p = c.parameters.all()[i];
      if (mask[i]) loops[i].step(gradient.narrow(0, offset, p.value.numel()).contiguous());
      INFO(p.name << " after " << loops[i].steps << " updates");
      CHECK(relative_error(p.value.reshape({-1}), at::tensor(loops[i].value, at::kDouble)) < 1e-13);
      CHECK(optimizer.updates[i] == loops[i].steps);
      const auto stretch = [&](const at::Tensor& flat) {
        return flat.narrow(0, offset, p.value.numel());
      };
      CHECK(relative_error(stretch(optimizer.first_moment),
                           at::tensor(loops[i].first, at::kDouble)) < 1e-13);
      CHECK(relative_error(stretch(optimizer.second_moment),
                           at::tensor(loops[i].second, at::kDouble)) < 1e-13);
      offset += p.value.numel();
    }
  }
}

TEST_CASE("a parameter that no loss reaches keeps its value, moments and count") {
  Draw draw(2);
  AdamWCase c(draw);
  AdamW optimizer(c.parameters, c.config);
  optimizer.step(draw.normal({c.parameters.count()}), {true, true, true, true});
  const at::Tensor values = c.parameters.flat().clone(), first = optimizer.first_moment.clone(),
                   second = optimizer.second_moment.clone();
  optimizer.step(draw.normal({c.parameters.count()}), {true, false, true, true});
  const auto b = [](const at::Tensor& flat) { return flat.narrow(0, 6, 4); };
  REQUIRE(c.parameters.all()[1].name == "b");
  CHECK(same_bytes(b(c.parameters.flat()), b(values)));
  CHECK(same_bytes(b(optimizer.first_moment), b(first)));
  CHECK(same_bytes(b(optimizer.second_moment), b(second)));
  CHECK(optimizer.updates == std::vector<int64_t>{2, 1, 2, 2});
  CHECK(c.parameters.flat().ne(values).sum().item<int64_t>() == 6 + 5 + 4);
}

TEST_CASE(
    "a gradient of zero still decays a parameter that the loss reaches, but not the topology") {
  Draw draw(3);
  AdamWCase c(draw);
  const at::Tensor before = c.parameters.flat().clone();
  AdamW optimizer(c.parameters, c.config);
  optimizer.step(at::zeros({c.parameters.count()}, at::kDouble), {true, true, true, true});
  const at::Tensor after = c.parameters.flat();
  CHECK(relative_error(after.narrow(0, 0, 15), before.narrow(0, 0, 15) * (1.0 - 0.03 * 0.1)) <
        1e-15);
  CHECK(same_bytes(after.narrow(0, 15, 4), before.narrow(0, 15, 4)));
}

TEST_CASE("the first step is the learning rate in the direction of the gradient's sign") {
  Draw draw(4);
  AdamWCase c(draw);
  c.config.weight_decay = 0.0;
  const at::Tensor before = c.parameters.flat().clone(), gradient = draw.normal({19}) * 100.0;
  AdamW(c.parameters, c.config).step(gradient, {true, true, true, true});
  const at::Tensor moved = (before - c.parameters.flat()) * gradient.sign();
  CHECK(relative_error(moved.narrow(0, 0, 15), at::full({15}, 0.03, at::kDouble)) < 1e-8);
  CHECK(relative_error(moved.narrow(0, 15, 4), at::full({4}, 0.2, at::kDouble)) < 1e-8);
}
